# A name whose addresses are the replicas. The load balancer's would do for SDS_PEERS too, but would show one of them, and it
# has to be a sibling that serves: all are asked, and the freshest snapshot is taken.

locals {
  peers = var.peers_namespace == null ? toset([]) : toset(["replicas"])
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  for_each = local.peers

  name = join(".", slice(split(".", var.peers_namespace), 1, length(split(".", var.peers_namespace))))
  vpc  = var.vpc_id
}

resource "aws_service_discovery_service" "replicas" {
  for_each = local.peers

  name = split(".", var.peers_namespace)[0]

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this[each.key].id
    routing_policy = "MULTIVALUE"
    dns_records {
      type = "A"
      ttl  = 10
    }
  }
  # ECS itself says which replicas there are. 1 is the only value, and the provider calls it deprecated; but an empty block it drops.
  health_check_custom_config {
    failure_threshold = 1
  }
}
