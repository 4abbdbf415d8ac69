output "url" {
  value = module.registry.url
}
