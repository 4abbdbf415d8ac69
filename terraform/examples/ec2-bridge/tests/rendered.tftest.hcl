# What is rendered here is committed in rendered/, and deployed by tests/tests/e2e/terraform.rs.

mock_provider "aws" {}

variables {
  region               = "ap-northeast-1"
  cluster_arn          = "arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"
  write_url            = "http://sds.internal:8081"
  web_token_secret_arn = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/web-a1b2c3"
  execution_role_arn   = "arn:aws:iam::111122223333:role/ecsTaskExecutionRole"
  sidecar_image        = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/sds-sidecar:0.1.0"
  app_image            = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/web:1.0.0"
}

run "rendered" {
  command = plan
  assert {
    condition     = aws_ecs_task_definition.web.network_mode == "bridge"
    error_message = "this example is about bridge mode"
  }
}
