# Rows of instances, and a few of the registry itself. It is as cookpad/sds made it, so one of theirs can be taken.

resource "aws_dynamodb_table" "this" {
  # checkov:skip=CKV_AWS_119: encrypted by DynamoDB's own key, or by yours: table_kms_key_arn
  count = var.existing_table == null ? 1 : 0

  name         = var.name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "service"
  range_key    = "ip_port"

  attribute {
    name = "service"
    type = "S"
  }
  attribute {
    name = "ip_port"
    type = "S"
  }
  # Takes away what is long dead. Who is in service is decided by the registry, never by this.
  ttl {
    attribute_name = "expire_time"
    enabled        = true
  }
  point_in_time_recovery {
    enabled = true
  }
  server_side_encryption {
    enabled     = var.table_kms_key_arn != null
    kms_key_arn = var.table_kms_key_arn
  }
  deletion_protection_enabled = var.deletion_protection

  # Another name means another table, an empty one: the plan refuses.
  lifecycle {
    prevent_destroy = true
  }
}

locals {
  table = var.existing_table != null ? var.existing_table.name : aws_dynamodb_table.this[0].name
  # Put together, so that a plan shows the role's policy before there is a table.
  table_arn = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${local.table}"
}
