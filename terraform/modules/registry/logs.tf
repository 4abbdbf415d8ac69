locals {
  # For the role's policy; who writes there names the resource, so that the group is there before.
  log_group = "/ecs/${var.name}"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
}
