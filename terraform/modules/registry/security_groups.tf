# Who reaches what: clients the load balancer, the load balancer the replicas, the replicas each other.

resource "aws_security_group" "load_balancer" {
  name_prefix = "${var.name}-lb-"
  description = "Clients of the registry, by listener"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "replicas" {
  name_prefix = "${var.name}-"
  description = "Replicas of the registry"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  by_cidr  = merge([for name, who in var.clients : { for whom, it in who.cidrs : "${name}-${whom}" => { port = local.ports[name], from = it, what = "${whom}, ${name} listener" } }]...)
  by_group = merge([for name, who in var.clients : { for whom, it in who.security_groups : "${name}-${whom}" => { port = local.ports[name], from = it, what = "${whom}, ${name} listener" } }]...)
}

resource "aws_vpc_security_group_ingress_rule" "clients_by_cidr" {
  for_each = local.by_cidr

  security_group_id = aws_security_group.load_balancer.id
  description       = each.value.what
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.from
}

resource "aws_vpc_security_group_ingress_rule" "clients_by_group" {
  for_each = local.by_group

  security_group_id            = aws_security_group.load_balancer.id
  description                  = each.value.what
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = each.value.from
}

resource "aws_vpc_security_group_egress_rule" "to_replicas" {
  for_each = local.ports

  security_group_id            = aws_security_group.load_balancer.id
  description                  = "Connections and health checks"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.replicas.id
}

resource "aws_vpc_security_group_ingress_rule" "from_load_balancer" {
  for_each = local.ports

  security_group_id            = aws_security_group.replicas.id
  description                  = "Connections and health checks"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.load_balancer.id
}

resource "aws_vpc_security_group_ingress_rule" "scrapers" {
  for_each = var.scrapers

  security_group_id            = aws_security_group.replicas.id
  description                  = "${each.key}, metrics of each replica"
  ip_protocol                  = "tcp"
  from_port                    = local.port_of.admin
  to_port                      = local.port_of.admin
  referenced_security_group_id = each.value
}

resource "aws_vpc_security_group_ingress_rule" "siblings" {
  for_each = local.peers

  security_group_id            = aws_security_group.replicas.id
  description                  = "Snapshots of siblings"
  ip_protocol                  = "tcp"
  from_port                    = local.port_of.write
  to_port                      = local.port_of.write
  referenced_security_group_id = aws_security_group.replicas.id
}

resource "aws_vpc_security_group_egress_rule" "siblings" {
  for_each = local.peers

  security_group_id            = aws_security_group.replicas.id
  description                  = "Snapshots of siblings"
  ip_protocol                  = "tcp"
  from_port                    = local.port_of.write
  to_port                      = local.port_of.write
  referenced_security_group_id = aws_security_group.replicas.id
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.replicas.id
  description       = "DynamoDB, ECS, STS, ECR, logs and secrets, over HTTPS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}
