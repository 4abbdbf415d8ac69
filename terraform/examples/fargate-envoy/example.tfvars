# Copy it to terraform.tfvars and write what is yours. write_url, xds_url and registry_security_group are the registry's outputs.
region               = "ap-northeast-1"
vpc_id               = "vpc-0123456789abcdef0"
vpc_cidr             = "10.0.0.0/16"
subnet_ids           = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
cluster_arn          = "arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"
sidecar_image        = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/sds-sidecar:0.1.0"
app_image            = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/web:1.0.0"
web_token_secret_arn = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/web-a1b2c3"

prometheus_security_group = "sg-0123456789abcdef0"
