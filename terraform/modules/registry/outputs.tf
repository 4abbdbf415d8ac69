locals {
  host = var.dns != null ? var.dns.name : aws_lb.this.dns_name
}

output "url" {
  description = "Where Envoys poll, and people ask."
  value       = "${local.scheme}://${local.host}:${local.ports.main}"
}

output "write_url" {
  description = "Where registrations come in: api_url of the sidecars."
  value       = "${local.scheme}://${local.host}:${local.port_of.write}"
}

output "xds_url" {
  description = "Where Envoys hold their streams."
  value       = "${local.scheme}://${local.host}:${local.port_of.xds}"
}

output "audience" {
  description = "api_audience of sidecars that prove their role."
  value       = var.audience
}

output "table" {
  description = "The table's name."
  value       = local.table
}

output "task_role_arn" {
  description = "The registry's own role."
  value       = aws_iam_role.task.arn
}

output "security_groups" {
  description = "Of the load balancer and of the replicas."
  value       = { load_balancer = aws_security_group.load_balancer.id, replicas = aws_security_group.replicas.id }
}

output "log_group" {
  description = "Where the registry logs."
  value       = aws_cloudwatch_log_group.this.name
}

output "peers_name" {
  description = "The name whose addresses are the replicas, for scrapers too; null without peers_namespace."
  value       = var.peers_namespace
}
