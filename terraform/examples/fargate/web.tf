# The app's own task and service. Nothing in it is special but the sidecar: no load balancer, Envoys find it by the registry.

resource "aws_ecs_task_definition" "web" {
  family                   = "web"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"
  execution_role_arn       = aws_iam_role.web_start.arn
  container_definitions    = module.web.container_definitions

  runtime_platform {
    cpu_architecture        = "X86_64"
    operating_system_family = "LINUX"
  }
}

# The sidecar's health tells ECS that a new task is registered: only then an old one is stopped.
resource "aws_ecs_service" "web" {
  name            = "web"
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.web.arn
  launch_type     = "FARGATE"
  desired_count   = 3

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets         = var.subnet_ids
    security_groups = [aws_security_group.web.id]
  }

  depends_on = [aws_iam_role_policy.web_start]
}

resource "aws_security_group" "web" {
  name_prefix = "web-"
  description = "Tasks of web"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "callers" {
  security_group_id = aws_security_group.web.id
  description       = "Envoys of its callers"
  ip_protocol       = "tcp"
  from_port         = 8080
  to_port           = 8080
  cidr_ipv4         = var.vpc_cidr
}

resource "aws_vpc_security_group_egress_rule" "registry" {
  security_group_id            = aws_security_group.web.id
  description                  = "The registry, where registrations come in"
  ip_protocol                  = "tcp"
  from_port                    = 8081
  to_port                      = 8081
  referenced_security_group_id = module.registry.security_groups.load_balancer
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.web.id
  description       = "Image, log and secret"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_cloudwatch_log_group" "web" {
  # checkov:skip=CKV_AWS_158: encrypted by AWS's own key; set kms_key_id where it has to be one of yours
  name              = "/ecs/web"
  retention_in_days = 365
}

resource "aws_iam_role" "web_start" {
  name_prefix = "web-start-"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ecs-tasks.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "web_start" {
  role       = aws_iam_role.web_start.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "web_start" {
  name = "token"
  role = aws_iam_role.web_start.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = [var.web_token.secret_arn] }]
  })
}
