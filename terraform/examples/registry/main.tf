# The registry alone; terraform/README.md says what comes before it and after it. Copy the folder, replace the source by where
# you keep the modules, and terraform.tfvars says what is yours (example.tfvars).

terraform {
  required_version = ">= 1.9"
  # A state that others reach too: backend "s3" {}, and its bucket by `terraform init -backend-config=..`.
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

provider "aws" {
  region = var.region
}

module "registry" {
  source = "../../modules/registry"

  image       = var.sds_api_image
  cluster_arn = var.cluster_arn
  vpc_id      = var.vpc_id
  subnet_ids  = var.subnet_ids

  # A token registers services, one of their own each; tasks register their own address alone. Observed, nobody is refused
  # and the log says who would be: sds-api/SECURITY.md, "From open to closed".
  policy = jsonencode({
    services = [{ names = ["*"], mode = "token", observe = var.observe }]
    tokens = [
      { name = "web", sha256 = [var.web_token_sha256], register = ["web"], cidrs = [var.vpc_cidr] },
      { name = "on-call", sha256 = [var.on_call_token_sha256], operate = ["*"] },
      { name = "replicas", sha256 = [var.peers_token.sha256], snapshot = true },
    ]
  })
  allow_open_writes = var.observe
  secrets           = { peers_token = var.peers_token.secret_arn }
  ecs_clusters      = [var.cluster_arn]

  # Everybody in the VPC may look and stream, and come with a token to register; overrides come with the on-call token
  # through the main listener. Narrower: security_groups = { web = "sg-.." } in the place of cidrs.
  listeners = ["write"]
  clients = {
    main  = { cidrs = { vpc = var.vpc_cidr } }
    write = { cidrs = { vpc = var.vpc_cidr } }
  }
  scrapers        = var.scrapers
  dns             = var.dns
  peers_namespace = "all.sds-replicas.internal"

  alarm_actions = var.alarm_actions
}
