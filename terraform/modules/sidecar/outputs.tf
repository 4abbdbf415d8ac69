output "container_definition" {
  description = "The sidecar's container, as an object to put into a list of your own."
  value       = local.container
}

output "json" {
  description = "The same as JSON."
  value       = jsonencode(local.container)
}

output "container_definitions" {
  description = "JSON of the containers that were handed in, and the sidecar: for aws_ecs_task_definition."
  value       = jsonencode(concat([for it in var.containers : it], [local.container]))
}
