terraform {
  # Validations look at several variables.
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

data "aws_region" "here" {}
data "aws_caller_identity" "me" {}
data "aws_partition" "here" {}

locals {
  region    = data.aws_region.here.region
  account   = data.aws_caller_identity.me.account_id
  partition = data.aws_partition.here.partition
  # amazonaws.com, but for China.
  dns_suffix = data.aws_partition.here.dns_suffix
}
