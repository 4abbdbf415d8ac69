# What ECS needs to start a task: the image, the log, and the token.

data "aws_partition" "here" {}

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
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "web_start" {
  name = "token"
  role = aws_iam_role.web_start.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = [var.web_token_secret_arn] }]
  })
}
