# An app on Fargate with its sidecar and an Envoy, which takes the app to other services. The registry is there already:
# examples/registry, whose outputs are write_url, xds_url and registry_security_group. Copy the folder, replace the source by
# where you keep the modules, and envoy_config by where you keep the Envoy's configuration.
#
# ECS stops in the reverse of dependsOn: the sidecar (drains), then the app, and Envoy last: it outlives the app's own requests.

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

module "web" {
  source = "../../modules/sidecar"

  image         = var.sidecar_image
  app_container = "app"
  services      = [{ service = "web", port = 8080, check = ["http://:8080/health"], tags = { stats_port = "9903" } }]
  api_url       = [var.write_url]
  secrets       = { SDS_API_TOKEN = var.web_token_secret_arn }

  log_configuration = {
    logDriver = "awslogs"
    options   = { awslogs-group = aws_cloudwatch_log_group.web.name, awslogs-region = var.region, awslogs-stream-prefix = "sds" }
  }
  containers = [
    {
      name  = "app"
      image = var.app_image
      dependsOn = [
        { containerName = "envoy", condition = "START" },
        { containerName = "envoy-ready", condition = "SUCCESS" },
      ]
      essential    = true
      portMappings = [{ containerPort = 8080, protocol = "tcp" }]
      stopTimeout  = 30
      logConfiguration = {
        logDriver = "awslogs"
        options   = { awslogs-group = aws_cloudwatch_log_group.web.name, awslogs-region = var.region, awslogs-stream-prefix = "app" }
      }
    },
    local.envoy,
    local.envoy_ready,
  ]
}
