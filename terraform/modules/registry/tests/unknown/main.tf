# The registry beside what the same plan makes, a network, a group and a table, whose names nobody knows yet.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

variable "image" {
  type = string
}

variable "cluster_arn" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "policy" {
  type = string
}

resource "terraform_data" "made" {
  for_each = toset(["network", "group", "table"])
}

module "registry" {
  source = "../.."

  image          = var.image
  cluster_arn    = var.cluster_arn
  vpc_id         = var.vpc_id
  subnet_ids     = var.subnet_ids
  policy         = var.policy
  existing_table = { name = terraform_data.made["table"].id }
  clients = {
    main  = { cidrs = { vpc = terraform_data.made["network"].id } }
    write = { security_groups = { web = terraform_data.made["group"].id } }
  }
  scrapers = { prometheus = terraform_data.made["group"].id }
}
