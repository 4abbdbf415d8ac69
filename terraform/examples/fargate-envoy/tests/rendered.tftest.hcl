# What is rendered here is committed in rendered/, and read by tests/tests/e2e/terraform.rs.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  region                    = "ap-northeast-1"
  vpc_id                    = "vpc-1"
  vpc_cidr                  = "10.0.0.0/16"
  subnet_ids                = ["subnet-1", "subnet-2"]
  cluster_arn               = "arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"
  write_url                 = "http://sds.internal:8081"
  xds_url                   = "http://sds.internal:8080"
  prometheus_security_group = "sg-2"
  registry_security_group   = "sg-1"
  web_token_secret_arn      = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/web-a1b2c3"
  sidecar_image             = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/sds-sidecar:0.1.0"
  app_image                 = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/web:1.0.0"
}

run "rendered" {
  command = plan
  # Who depends on another is stopped before it: sidecar, app, Envoy.
  assert {
    condition = {
      for it in jsondecode(aws_ecs_task_definition.web.container_definitions) : it.name => [for on in try(it.dependsOn, []) : "${on.containerName} ${on.condition}"]
      } == {
      app         = ["envoy START", "envoy-ready SUCCESS"]
      envoy       = []
      envoy-ready = ["envoy START"]
      sds-sidecar = ["app START"]
    }
    error_message = aws_ecs_task_definition.web.container_definitions
  }
  assert {
    condition     = length(aws_ecs_task_definition.web.container_definitions) < 48000
    error_message = "ECS takes 64 KB"
  }
}

# An apply knows what a plan does not, and finds references to what is not there.
run "applied" {
  command = apply
}

run "a_configuration_of_another_registry" {
  command = plan
  variables {
    envoy_config = "../../../docker/envoy/v1.json"
  }
  expect_failures = [var.envoy_config]
}

run "a_registry_with_tls" {
  command = plan
  variables {
    xds_url = "https://sds.internal:8083"
  }
  expect_failures = [var.xds_url]
}
