# What is rendered here is committed in rendered/, and started by tests/tests/e2e/terraform.rs on a table of cookpad/sds's kind.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "ap-northeast-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_subnet" {
    defaults = { cidr_block = "10.0.0.0/20" }
  }
}

variables {
  region        = "ap-northeast-1"
  vpc_id        = "vpc-1"
  vpc_cidr      = "10.0.0.0/16"
  subnet_ids    = ["subnet-1", "subnet-2"]
  cluster_arn   = "arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"
  table         = "sds-hosts"
  dns           = { zone_id = "Z1", name = "sds.internal" }
  sds_api_image = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/sds-api:0.1.0"
}

run "rendered" {
  command = plan
  assert {
    condition     = output.url == "http://sds.internal:8080"
    error_message = output.url
  }
}

run "applied" {
  command = apply
}
