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

  # Without them the first tasks would not start.
  depends_on = [aws_iam_role_policy.web_start, aws_iam_role_policy_attachment.web_start]
}
