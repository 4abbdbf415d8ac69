# The replicas: all are equal, so they are one service behind one load balancer.

locals {
  # What is in flight at the close of the listeners has 10 s, the goodbye to the other replicas and the store the rest.
  stop_timeout = var.shutdown_delay + 20

  container = {
    name                   = "sds-api"
    image                  = var.image
    essential              = true
    portMappings           = [for name, port in local.ports : { containerPort = port, protocol = "tcp" }]
    stopTimeout            = local.stop_timeout
    environment            = [for name, value in local.environment : { name = name, value = value }]
    secrets                = [for name, arn in local.secrets : { name = name, valueFrom = arn }]
    user                   = "65532"
    readonlyRootFilesystem = true
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "sds-api"
        # A log that cannot be written must not stop the registry.
        mode            = "non-blocking"
        max-buffer-size = "4m"
      }
    }
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = jsonencode([local.container])
  # The former revisions stay, a way back is one apply.
  skip_destroy = true

  runtime_platform {
    cpu_architecture        = var.cpu_architecture
    operating_system_family = "LINUX"
  }
}

resource "aws_ecs_service" "this" {
  name            = var.name
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.this.arn
  launch_type     = "FARGATE"
  desired_count   = var.replicas.min
  propagate_tags  = "SERVICE"

  # New ones serve before old ones go; what does not come up is taken back.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  availability_zone_rebalancing     = "ENABLED"
  health_check_grace_period_seconds = 60
  wait_for_steady_state             = var.wait_for_steady_state

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.replicas.id]
    assign_public_ip = false
  }

  dynamic "load_balancer" {
    for_each = local.ports
    content {
      target_group_arn = aws_lb_target_group.this[load_balancer.key].arn
      container_name   = local.container.name
      container_port   = load_balancer.value
    }
  }

  dynamic "service_registries" {
    for_each = aws_service_discovery_service.replicas
    content {
      registry_arn = service_registries.value.arn
    }
  }

  lifecycle {
    # The scaling's own.
    ignore_changes = [desired_count]
  }

  # ECS takes a target group only behind a listener, and a task without its permissions would not come up.
  depends_on = [aws_lb_listener.this, aws_iam_role_policy.task, aws_iam_role_policy.execution]
}
