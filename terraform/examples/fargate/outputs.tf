output "envoys_poll" {
  value = module.registry.url
}
