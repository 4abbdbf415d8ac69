# Envoy's image has no shell and a task no file of ours, so the whole configuration goes on its command line, as the JSON that
# YAML is too: shorter, and without comments, for ECS takes 64 KB for a task definition.
#
# Which task it is ECS tells in no variable, so all Envoys of web have one node id. The registry tells streams apart by their
# connection and polls by their sender's address; the id is a name in its log and its lists alone. In metrics the task is
# the scraped address.

locals {
  registry = regex("^http://(?P<host>[^:/]+):(?P<port>[0-9]+)", var.xds_url)

  # docker/envoy/task.yaml with this registry in it. Its services, web and shop, are to be changed there.
  bootstrap = merge(
    yamldecode(replace(
      file(var.envoy_config),
      "{address: sds-api, port_value: 8080}",
      "{address: ${local.registry.host}, port_value: ${local.registry.port}}",
    )),
    { stats_config = {
      use_all_default_tags = true
      stats_tags           = [for name in ["service_cluster", "service_node"] : { tag_name = name, fixed_value = "web" }]
    } },
  )

  envoy = {
    name      = "envoy"
    image     = var.envoy_image
    essential = true
    command   = ["--config-yaml", jsonencode(local.bootstrap), "--service-cluster", "web", "--service-node", "web", "--disable-hot-restart"]
    # It ends at once: nobody asks it any more by then.
    stopTimeout      = 10
    logConfiguration = local.log["envoy"]
  }

  # The app starts when its Envoy knows where the others are.
  envoy_ready = {
    name             = "envoy-ready"
    image            = var.sidecar_image
    essential        = false
    command          = ["wait", "--for", "envoy"]
    dependsOn        = [{ containerName = "envoy", condition = "START" }]
    logConfiguration = local.log["envoy-ready"]
  }

  log = {
    for prefix in ["envoy", "envoy-ready"] : prefix => {
      logDriver = "awslogs"
      options   = { awslogs-group = aws_cloudwatch_log_group.web.name, awslogs-region = var.region, awslogs-stream-prefix = prefix }
    }
  }
}
