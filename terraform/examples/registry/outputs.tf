output "url" {
  description = "Where Envoys poll, and people ask."
  value       = module.registry.url
}

output "write_url" {
  description = "Where sidecars register."
  value       = module.registry.write_url
}

output "xds_url" {
  description = "Where Envoys hold their streams."
  value       = module.registry.xds_url
}

output "log_group" {
  value = module.registry.log_group
}

output "peers_name" {
  description = "All replicas' addresses, for Prometheus."
  value       = module.registry.peers_name
}

output "registry_security_group" {
  description = "The load balancer's: where apps' tasks connect to."
  value       = module.registry.security_groups.load_balancer
}

output "replicas_security_group" {
  description = "The replicas' own: where Prometheus connects to."
  value       = module.registry.security_groups.replicas
}
