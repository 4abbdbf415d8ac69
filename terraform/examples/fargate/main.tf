# From nothing to a service that is found: the registry, and an app on Fargate with its sidecar. Copy the folder, replace the two
# sources by where you keep the modules, and follow terraform/README.md, which says how the tokens are made.

terraform {
  required_version = ">= 1.9"
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

  # A token registers services, one of their own each; tasks register their own address alone.
  policy = jsonencode({
    services = [{ names = ["*"], mode = "token" }]
    tokens = [
      { name = "web", sha256 = [var.web_token.sha256], register = ["web"], cidrs = [var.vpc_cidr] },
      { name = "on-call", sha256 = [var.on_call_token_sha256], operate = ["*"] },
      { name = "replicas", sha256 = [var.peers_token.sha256], snapshot = true },
    ]
  })
  secrets      = { peers_token = var.peers_token.secret_arn }
  ecs_clusters = [var.cluster_arn]

  # Everybody in the VPC may look, this app may register, and overrides come with the on-call token through the main listener.
  listeners = ["write"]
  clients = {
    main  = { cidrs = [var.vpc_cidr] }
    write = { security_groups = [aws_security_group.web.id] }
  }
  dns             = var.dns
  peers_namespace = "all.sds-replicas.internal"

  alarm_actions = var.alarm_actions
}

module "web" {
  source = "../../modules/sidecar"

  image         = var.sidecar_image
  app_container = "app"
  services      = [{ service = "web", port = 8080, check = ["http://:8080/health"] }]
  api_url       = [module.registry.write_url]
  secrets       = { SDS_API_TOKEN = var.web_token.secret_arn }

  log_configuration = {
    logDriver = "awslogs"
    options   = { awslogs-group = "/ecs/web", awslogs-region = var.region, awslogs-stream-prefix = "sds" }
  }
  containers = [{
    name         = "app"
    image        = var.app_image
    essential    = true
    portMappings = [{ containerPort = 8080, protocol = "tcp" }]
    stopTimeout  = 30
    logConfiguration = {
      logDriver = "awslogs"
      options   = { awslogs-group = "/ecs/web", awslogs-region = var.region, awslogs-stream-prefix = "app" }
    }
  }]
}
