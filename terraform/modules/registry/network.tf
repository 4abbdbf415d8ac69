# An internal load balancer that passes TCP through: TLS ends in the registry, streams stay whole. With ip targets it hides its
# clients, so it names them by PROXY protocol v2; the registry believes that of the load balancer's networks alone, and
# nobody else reaches a replica: the replicas' security group lets in the load balancer, siblings and scrapers.
# By AWS's documentation its health checks bring the same header, as LOCAL; the registry takes them with and without one.

data "aws_subnet" "this" {
  count = length(var.subnet_ids)
  id    = var.subnet_ids[count.index]
}

locals {
  load_balancer_networks = [
    for nth, subnet in data.aws_subnet.this :
    try("${var.load_balancer_addresses[nth]}/32", subnet.cidr_block)
  ]
}

resource "aws_lb" "this" {
  # checkov:skip=CKV_AWS_91: such a load balancer logs its TLS listeners alone, and these pass TCP through
  name               = var.name
  load_balancer_type = "network"
  internal           = true
  security_groups    = [aws_security_group.load_balancer.id]
  # A zone whose replicas are all gone is served by the other ones.
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.deletion_protection

  dynamic "subnet_mapping" {
    for_each = var.subnet_ids
    content {
      subnet_id            = subnet_mapping.value
      private_ipv4_address = try(var.load_balancer_addresses[subnet_mapping.key], null)
    }
  }

  # Another name, subnet or address means another load balancer. It cannot stand beside the old one, for a target group has one
  # load balancer and an address one interface; and an apply that destroys takes the listeners first. So the plan refuses.
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_lb_target_group" "this" {
  for_each = local.ports

  name                 = "${var.name}-${each.key}"
  vpc_id               = var.vpc_id
  port                 = each.value
  protocol             = "TCP"
  target_type          = "ip"
  proxy_protocol_v2    = true
  preserve_client_ip   = false
  deregistration_delay = var.deregistration_delay

  # Not ready: nothing is known yet, or SIGTERM has come.
  health_check {
    protocol            = upper(local.scheme)
    path                = "/readyz"
    port                = "traffic-port"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "this" {
  for_each = local.ports

  load_balancer_arn = aws_lb.this.arn
  port              = each.value
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[each.key].arn
  }
}

resource "aws_route53_record" "this" {
  count = var.dns == null ? 0 : 1

  zone_id = var.dns.zone_id
  name    = var.dns.name
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}
