# Copy it to terraform.tfvars and write what is yours.
region        = "ap-northeast-1"
vpc_id        = "vpc-0123456789abcdef0"
vpc_cidr      = "10.0.0.0/16"
subnet_ids    = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
cluster_arn   = "arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"
dns           = { zone_id = "Z0123456789ABCDEFGHIJ", name = "sds.internal" }
sds_api_image = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/sds-api:0.1.0"

# What `sds-api token new` printed as sha256, three times.
web_token_sha256     = "0000000000000000000000000000000000000000000000000000000000000001"
on_call_token_sha256 = "0000000000000000000000000000000000000000000000000000000000000002"
peers_token = {
  secret_arn = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/replicas-a1b2c3"
  sha256     = "0000000000000000000000000000000000000000000000000000000000000003"
}
