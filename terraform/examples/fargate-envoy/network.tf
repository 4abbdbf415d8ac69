# Who reaches the app, and whom its task reaches.

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
  referenced_security_group_id = var.registry_security_group
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.web.id
  description       = "Image, log and secret"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "streams" {
  security_group_id            = aws_security_group.web.id
  description                  = "The registry, where Envoy holds its stream"
  ip_protocol                  = "tcp"
  from_port                    = local.registry.port
  to_port                      = local.registry.port
  referenced_security_group_id = var.registry_security_group
}

resource "aws_vpc_security_group_egress_rule" "others" {
  security_group_id = aws_security_group.web.id
  description       = "Tasks of other services, all at one port here; theirs have to let Envoys in"
  ip_protocol       = "tcp"
  from_port         = 8080
  to_port           = 8080
  cidr_ipv4         = var.vpc_cidr
}

resource "aws_vpc_security_group_ingress_rule" "metrics" {
  security_group_id            = aws_security_group.web.id
  description                  = "Metrics of Envoy and sidecar"
  ip_protocol                  = "tcp"
  from_port                    = 9903
  to_port                      = 9903
  referenced_security_group_id = var.prometheus_security_group
}
