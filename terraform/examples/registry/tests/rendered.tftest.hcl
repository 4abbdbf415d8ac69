# What is rendered here is committed in rendered/, and started by tests/tests/e2e/terraform.rs.

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
  dns           = { zone_id = "Z1", name = "sds.internal" }
  sds_api_image = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/sds-api:0.1.0"
  # Of the tokens that the end-to-end test shows: sds_token_web, sds_token_on_call and sds_token_replicas.
  web_token_sha256     = "453ffa0119d7b77978bc1f9b31905804a32310041f3f7bffa0927b4d60543a0a"
  on_call_token_sha256 = "06cdc24c6f396b4e1bafcaeea8da258fad5e70ce4a8e01ff66d9549da3d562a4"
  peers_token = {
    secret_arn = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/replicas-a1b2c3"
    sha256     = "6decf181c887ed86f8eeb4e16a877b6c6ee1060434fa24e1f9a7fb6345877fa4"
  }
}

run "rendered" {
  command = plan
  assert {
    condition     = [output.url, output.write_url, output.xds_url, output.log_group, output.peers_name] == ["http://sds.internal:8080", "http://sds.internal:8081", "http://sds.internal:8080", "/ecs/sds", "all.sds-replicas.internal"]
    error_message = "${output.url} ${output.write_url} ${output.xds_url}"
  }
}

run "observed" {
  command = plan
  variables {
    observe = true
  }
}

# An apply knows what a plan does not, and finds references to what is not there.
run "applied" {
  command = apply
  assert {
    condition     = output.registry_security_group != output.replicas_security_group
    error_message = "apps' tasks would be let to the replicas"
  }
}
