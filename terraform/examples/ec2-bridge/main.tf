# An app on EC2 instances in bridge mode, and its sidecar, which registers the host's address with the port that Docker chose. The
# registry is there already (examples/registry). The instances' agent needs ECS_ENABLE_CONTAINER_METADATA=true, or the
# instances an IMDS hop limit of 2, so that the sidecar learns the host's address.

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

module "web" {
  source = "../../modules/sidecar"

  image         = var.sidecar_image
  app_container = "app"
  services      = [{ service = "web", port = 8080, check = ["http://:8080/health"] }]
  api_url       = [var.write_url]
  secrets       = { SDS_API_TOKEN = var.web_token_secret_arn }

  log_configuration = {
    logDriver = "awslogs"
    options   = { awslogs-group = "/ecs/web", awslogs-region = var.region, awslogs-stream-prefix = "sds" }
  }
  containers = [{
    name              = "app"
    image             = var.app_image
    cpu               = 256
    memoryReservation = 256
    essential         = true
    portMappings      = [{ containerPort = 8080, protocol = "tcp", hostPort = 0 }]
    stopTimeout       = 30
    logConfiguration = {
      logDriver = "awslogs"
      options   = { awslogs-group = "/ecs/web", awslogs-region = var.region, awslogs-stream-prefix = "app" }
    }
  }]
}

resource "aws_ecs_task_definition" "web" {
  family                   = "web"
  requires_compatibilities = ["EC2"]
  network_mode             = "bridge"
  execution_role_arn       = var.execution_role_arn
  container_definitions    = module.web.container_definitions
}

resource "aws_ecs_service" "web" {
  name            = "web"
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.web.arn
  launch_type     = "EC2"
  desired_count   = 3

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  ordered_placement_strategy {
    type  = "spread"
    field = "attribute:ecs.availability-zone"
  }
}
