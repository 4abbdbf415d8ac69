# What is rendered here is committed in rendered/, and deployed by tests/tests/e2e/terraform.rs.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  region                  = "ap-northeast-1"
  vpc_id                  = "vpc-1"
  vpc_cidr                = "10.0.0.0/16"
  subnet_ids              = ["subnet-1", "subnet-2"]
  cluster_arn             = "arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"
  write_url               = "http://sds.internal:8081"
  registry_security_group = "sg-1"
  web_token_secret_arn    = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/web-a1b2c3"
  sidecar_image           = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/sds-sidecar:0.1.0"
  app_image               = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/web:1.0.0"
}

run "rendered" {
  command = plan
}

# An apply knows what a plan does not, and finds references to what is not there.
run "applied" {
  command = apply
}
