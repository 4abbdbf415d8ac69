# Two roles: what the registry does, and what ECS does to start it. Each action is one that the program calls.

locals {
  by_ecs = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  })

  table_statements = concat(
    [{
      Sid      = "Table"
      Effect   = "Allow"
      Resource = local.table_arn
      Action = [
        "dynamodb:GetItem",      # an instance that a refused write has to be told about
        "dynamodb:BatchGetItem", # what other replicas announced
        "dynamodb:Query",        # the other replicas' headers
        "dynamodb:Scan",         # the full read, at the start and as repair
        "dynamodb:UpdateItem",   # registrations, drains, deregistrations, overrides
        "dynamodb:PutItem",      # this replica's header and pages
        "dynamodb:DeleteItem",   # headers and pages that ended
      ]
    }],
    # A key of yours is used in the caller's name, through DynamoDB alone.
    var.table_kms_key_arn == null ? [] : [{
      Sid       = "TableKey"
      Effect    = "Allow"
      Resource  = [var.table_kms_key_arn]
      Action    = ["kms:Decrypt"]
      Condition = { StringEquals = { "kms:ViaService" = "dynamodb.${local.region}.${local.dns_suffix}" } }
    }],
  )

  ecs_statements = length(var.ecs_clusters) == 0 ? [] : [
    {
      Sid       = "TasksOfTheseClusters"
      Effect    = "Allow"
      Resource  = [for arn in var.ecs_clusters : "${replace(arn, ":cluster/", ":task/")}/*"]
      Action    = ["ecs:DescribeTasks"] # whether a task runs, stops or has ended, and whose it is
      Condition = { ArnEquals = { "ecs:cluster" = var.ecs_clusters } }
    },
    {
      Sid       = "ListOfTheseClusters"
      Effect    = "Allow"
      Resource  = ["*"]             # AWS knows no narrower one for a whole cluster, the condition does it
      Action    = ["ecs:ListTasks"] # tasks that should be registered and are not
      Condition = { ArnEquals = { "ecs:cluster" = var.ecs_clusters } }
    },
  ]

  # A secret's ARN may go on with a key of its JSON, a stage and a version.
  secret_arns    = distinct([for arn in values(local.secrets) : join(":", slice(split(":", arn), 0, 7)) if strcontains(arn, ":secretsmanager:")])
  parameter_arns = distinct([for arn in values(local.secrets) : arn if strcontains(arn, ":ssm:")])

  start_statements = concat(
    [{
      Sid      = "Logs"
      Effect   = "Allow"
      Resource = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group}:*"]
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    }],
    length(local.secret_arns) == 0 ? [] : [{
      Sid      = "Secrets"
      Effect   = "Allow"
      Resource = local.secret_arns
      Action   = ["secretsmanager:GetSecretValue"]
    }],
    length(local.parameter_arns) == 0 ? [] : [{
      Sid      = "Parameters"
      Effect   = "Allow"
      Resource = local.parameter_arns
      Action   = ["ssm:GetParameters"]
    }],
    length(var.secrets_kms_key_arns) == 0 ? [] : [{
      Sid      = "KeysOfSecrets"
      Effect   = "Allow"
      Resource = var.secrets_kms_key_arns
      Action   = ["kms:Decrypt"]
    }],
    # Only if the image lies in ECR.
    length(local.ecr) == 0 ? [] : [
      {
        Sid      = "Image"
        Effect   = "Allow"
        Resource = ["arn:${local.partition}:ecr:${local.ecr[1]}:${local.ecr[0]}:repository/${local.ecr[2]}"]
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
      },
      {
        Sid      = "Registry"
        Effect   = "Allow"
        Resource = ["*"] # a token for all of ECR; AWS knows no narrower one
        Action   = ["ecr:GetAuthorizationToken"]
      },
    ],
  )

  # Account, region and repository.
  ecr = try(regex("^([0-9]{12})[.]dkr[.-]ecr(?:-fips)?[.]([a-z0-9-]+)[.](?:amazonaws[.]com(?:[.]cn)?|on[.]aws)/([^:@]+)", var.image), [])
}

resource "aws_iam_role" "task" {
  name_prefix        = "${var.name}-task-"
  description        = "What the registry does"
  assume_role_policy = local.by_ecs
}

resource "aws_iam_role_policy" "task" {
  name   = "registry"
  role   = aws_iam_role.task.id
  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.table_statements, local.ecs_statements) })
}

resource "aws_iam_role" "execution" {
  name_prefix        = "${var.name}-start-"
  description        = "What ECS does to start the registry"
  assume_role_policy = local.by_ecs
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.start_statements })
}
