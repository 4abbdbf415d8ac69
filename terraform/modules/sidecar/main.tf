# The container's definition. Its order of variables is that of the files in sidecar/examples, which it renders to the letter.

locals {
  span = "^([0-9]+[.]?[0-9]*|[.][0-9]+)(ms|s|m|h)?$"
  # In seconds.
  units = { ms = 0.001, s = 1, m = 60, h = 3600 }

  admin_port = element(reverse(split(":", coalesce(var.admin_listen, "127.0.0.1:9902"))), 0)
  one        = length(var.services) == 1 ? var.services[0] : null

  # Several services go as one document, under the same names.
  config = local.one != null ? null : jsonencode({
    services = [
      for it in var.services : {
        for key, value in merge(it, { container = coalesce(it.container, var.app_container) }) : key => value if value != null
      }
    ]
  })

  environment = [
    for pair in concat(
      [
        ["SDS_API_URL", join(",", var.api_url)],
        ["SDS_API_AUDIENCE", var.api_audience],
        ["SDS_CONFIG", local.config],
        ["SDS_SERVICE", try(local.one.service, null)],
        ["SDS_PORT", try(tostring(local.one.port), null)],
        ["SDS_ADMIN_LISTEN", var.admin_listen],
        ["SDS_CONTAINER", try(coalesce(local.one.container, var.app_container), null)],
        ["SDS_CHECK", try(join(",", local.one.check), null)],
        ["SDS_INTERVAL", try(local.one.interval, null)],
        ["SDS_TIMEOUT", try(local.one.timeout, null)],
        ["SDS_RISE", try(tostring(local.one.rise), null)],
        ["SDS_FALL", try(tostring(local.one.fall), null)],
        ["SDS_START_PERIOD", try(local.one.start_period, null)],
        ["SDS_DEREGISTER_AFTER", try(local.one.deregister_after, null)],
        ["SDS_WEIGHT", try(tostring(local.one.weight), null)],
        ["SDS_CANARY", try(tostring(local.one.canary), null)],
        ["SDS_REVISION", try(local.one.revision, null)],
        ["SDS_TAGS", try(join(",", [for key, value in local.one.tags : "${key}=${value}"]), null)],
        ["SDS_LINGER", var.linger],
        ["SDS_INFLIGHT", var.inflight],
        ["SDS_STOP_TIMEOUT", "${var.stop_timeout}s"],
        ["SDS_METADATA_INTERVAL", var.metadata_interval],
        ["SDS_HOST", var.host],
        ["SDS_REGION", var.region],
        ["SDS_AZ", var.az],
        ["SDS_LOG", var.log],
        ["SDS_LOG_FORMAT", var.log_format],
      ],
      [for name, value in var.extra_environment : [name, value]],
    ) : { name = pair[0], value = pair[1] } if pair[1] != null
  ]

  container = {
    for key, value in {
      name              = var.name
      image             = var.image
      cpu               = var.cpu
      memoryReservation = var.memory_reservation
      essential         = var.essential
      # ECS stops in the reverse of this: the sidecar gets SIGTERM first, and the app when the sidecar has exited.
      dependsOn   = [{ containerName = var.app_container, condition = "START" }]
      stopTimeout = var.stop_timeout
      # 60 s is the least that ECS takes; an exit with 0 is the end of a drain.
      restartPolicy = { enabled = true, restartAttemptPeriod = 60, ignoredExitCodes = [0] }
      healthCheck = {
        command     = ["CMD", "/sds-sidecar", "healthcheck"]
        interval    = 10
        timeout     = 5
        retries     = var.retries
        startPeriod = var.start_period
      }
      environment            = local.environment
      secrets                = length(var.secrets) == 0 ? null : [for name, arn in var.secrets : { name = name, valueFrom = arn }]
      user                   = "65532"
      readonlyRootFilesystem = true
      logConfiguration       = var.log_configuration
    } : key => value if value != null
  }
}
