# What is rendered here is committed in rendered/, and deployed by tests/tests/e2e/terraform.rs.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "ap-northeast-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
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
  sidecar_image = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/sds-sidecar:0.1.0"
  app_image     = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/web:1.0.0"
  # Of the tokens that the end-to-end test shows: web-token, on-call-token and replicas-token.
  web_token = {
    secret_arn = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/web-a1b2c3"
    sha256     = "671391faf68e509ca4ec48ccb0690453e9b82c2fa48273703233d60b52b9640d"
  }
  on_call_token_sha256 = "16634cb23f1142159b513f2da014784a413e60a2ba2a2297844f28be69bd7f6e"
  peers_token = {
    secret_arn = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/replicas-a1b2c3"
    sha256     = "47072d37c1714f40d533e336d3dfbc6a6989d15ad789261aa7385f67477c8c0d"
  }
}

run "rendered" {
  command = plan
  assert {
    condition     = output.envoys_poll == "http://sds.internal:8080"
    error_message = output.envoys_poll
  }
}

# An apply knows what a plan does not, and finds references to what is not there.
run "applied" {
  command = apply
}
