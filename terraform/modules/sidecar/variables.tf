# What the sidecar is told. A value that the sidecar would refuse at its start (exit 64) is refused here, by the plan.
# sidecar/README.md says what each option does; null leaves it to the sidecar's own default.

variable "image" {
  description = "The sidecar's image, best by its digest."
  type        = string
}

variable "name" {
  description = "The container's name. The registry's list of tasks that are not registered knows a sidecar by this one."
  type        = string
  default     = "sds-sidecar"
  nullable    = false
}

variable "app_container" {
  description = "The container that is the app. ECS stops the sidecar before it, which is what makes a deploy lose no request."
  type        = string
}

variable "containers" {
  description = "The definitions of the task's other containers, the app's among them, as ECS spells them. With them the output container_definitions is complete, and it is looked at whether they fit."
  type        = any
  default     = []
  nullable    = false

  validation {
    condition     = length(var.containers) == 0 || contains([for it in var.containers : it.name], var.app_container)
    error_message = "None of the containers has the name of app_container."
  }
  validation {
    condition     = alltrue(flatten([for it in var.containers : [for on in try(it.dependsOn, []) : on.containerName != var.name]]))
    error_message = "A container that depends on the sidecar is stopped before it: each deploy would lose requests."
  }
}

variable "services" {
  description = "What the task is an instance of: one service, or several."
  type = list(object({
    service          = string
    port             = number
    check            = list(string)
    container        = optional(string)
    interval         = optional(string)
    timeout          = optional(string)
    rise             = optional(number)
    fall             = optional(number)
    start_period     = optional(string)
    deregister_after = optional(string)
    weight           = optional(number)
    canary           = optional(bool)
    revision         = optional(string)
    tags             = optional(map(string))
  }))

  validation {
    condition     = length(var.services) > 0
    error_message = "At least one service is needed."
  }
  validation {
    condition     = alltrue([for it in var.services : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", it.service))])
    error_message = "A service's name is a letter or digit, then up to 127 of A-Za-z0-9._-."
  }
  validation {
    condition     = alltrue([for it in var.services : it.port >= 1 && it.port <= 65535 && floor(it.port) == it.port])
    error_message = "A port is an integer from 1 to 65535."
  }
  validation {
    condition     = length(distinct([for it in var.services : "${it.service}:${it.port}"])) == length(var.services)
    error_message = "A service is there twice with the same port."
  }
  validation {
    condition     = !contains([for it in var.services : tostring(it.port)], local.admin_port)
    error_message = "A service has the sidecar's own port, see admin_listen."
  }
  validation {
    condition = alltrue([
      for it in var.services : length(it.check) > 0 && alltrue([
        for check in it.check : can(regex("^((https?|tcp|grpcs?)://[^/,]*:[0-9]+(/[^,]*)?|ecs://[^/:,]+)$", check))
      ])
    ])
    error_message = "A check is http://:8080/health, https://.., tcp://:8080, grpc://:50051/name, grpcs://.. or ecs://container, without a comma; each service has one at least."
  }
  validation {
    condition = alltrue(flatten([
      for it in var.services : [
        for span in [it.interval, it.timeout, it.start_period, it.deregister_after] : span == null || can(regex(local.span, span))
      ]
    ]))
    error_message = "A duration is 500ms, 5s, 2m, 1h or bare seconds."
  }
  validation {
    condition = alltrue([
      for seconds in [
        for it in var.services : [
          for span in [regex(local.span, coalesce(it.timeout, "1s")), regex(local.span, coalesce(it.interval, "2s"))] :
          tonumber(span[0]) * local.units[coalesce(span[1], "s")]
        ]
      ] : seconds[0] > 0 && seconds[0] < seconds[1]
    ])
    error_message = "A probe's timeout (1s by default) is longer than 0 and shorter than its interval (2s by default)."
  }
  validation {
    condition = alltrue(flatten([
      for it in var.services : [for n in [it.rise, it.fall] : n == null ? true : n >= 1 && n <= 1000 && floor(n) == n]
    ]))
    error_message = "rise and fall are integers from 1 to 1000."
  }
  validation {
    condition     = alltrue([for it in var.services : it.weight == null ? true : it.weight >= 1 && it.weight <= 100 && floor(it.weight) == it.weight])
    error_message = "A weight is an integer from 1 to 100."
  }
  validation {
    condition     = length(var.services) > 1 || alltrue(flatten([for it in var.services : [for k, v in coalesce(it.tags, {}) : !can(regex("[,=]", k)) && !can(regex(",", v))]]))
    error_message = "Tags of a single service go as k=v,k=v: a key has no comma or equals sign, a value no comma."
  }
}

variable "api_url" {
  description = "The registry's URLs where registrations come in; the next one is taken after a failure."
  type        = list(string)

  validation {
    condition     = length(var.api_url) > 0 && alltrue([for url in var.api_url : can(regex("^https?://[^@?#,]+$", url))])
    error_message = "At least one URL of http or https is needed, without user, query and fragment."
  }
}

variable "api_audience" {
  description = "The registry's audience: the task's role is proven to it. Not together with SDS_API_TOKEN in secrets."
  type        = string
  default     = null

  validation {
    condition     = var.api_audience == null || can(regex("^[A-Za-z0-9.:/_-]{1,128}$", var.api_audience))
    error_message = "An audience is 1 to 128 of A-Za-z0-9.:/_-."
  }
  validation {
    condition     = var.api_audience == null || !contains(keys(var.secrets), "SDS_API_TOKEN")
    error_message = "Either the task's role is proven, or a token is shown."
  }
}

variable "secrets" {
  description = "Variables that ECS fills from Secrets Manager or SSM: name to ARN. SDS_API_TOKEN, SDS_API_CA, SDS_API_CERT, SDS_API_KEY."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.secrets), ["SDS_API_TOKEN", "SDS_API_CA", "SDS_API_CERT", "SDS_API_KEY"])) == 0
    error_message = "Only SDS_API_TOKEN, SDS_API_CA, SDS_API_CERT and SDS_API_KEY are secrets of the sidecar."
  }
  validation {
    condition     = contains(keys(var.secrets), "SDS_API_CERT") == contains(keys(var.secrets), "SDS_API_KEY")
    error_message = "SDS_API_CERT and SDS_API_KEY go together."
  }
}

variable "linger" {
  description = "From the start of a drain to the deregister, at most: your longest usual request and an Envoy's poll."
  type        = string
  default     = "15s"
  nullable    = false

  validation {
    condition     = can(regex(local.span, var.linger))
    error_message = "A duration is 500ms, 5s, 2m, 1h or bare seconds."
  }
  validation {
    condition     = try(tonumber(regex(local.span, var.linger)[0]) * local.units[coalesce(regex(local.span, var.linger)[1], "s")] + 10 <= var.stop_timeout, true)
    error_message = "The linger and 10 s for the calls around it have to fit into stop_timeout."
  }
}

variable "stop_timeout" {
  description = "Seconds from SIGTERM to SIGKILL, told to ECS and to the sidecar."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.stop_timeout >= 2 && var.stop_timeout <= 120 && floor(var.stop_timeout) == var.stop_timeout
    error_message = "ECS takes 2 to 120 whole seconds."
  }
}

variable "inflight" {
  description = "What is waited for once the registry says that all Envoys know of the drain: your longest usual request."
  type        = string
  default     = null

  validation {
    condition     = var.inflight == null || can(regex(local.span, var.inflight))
    error_message = "A duration is 500ms, 5s, 2m, 1h or bare seconds."
  }
}

variable "metadata_interval" {
  description = "Between two looks at the task's metadata."
  type        = string
  default     = null

  validation {
    condition     = var.metadata_interval == null || can(regex(local.span, var.metadata_interval))
    error_message = "A duration is 500ms, 5s, 2m, 1h or bare seconds."
  }
}

variable "admin_listen" {
  description = "Where its health and metrics are served. In host mode each service on a host needs its own port."
  type        = string
  default     = null

  validation {
    condition     = var.admin_listen == null || can(regex("^(127\\.[0-9.]+|\\[::1\\]):[1-9][0-9]*$", var.admin_listen))
    error_message = "It is a loopback address with a port, as 127.0.0.1:9902."
  }
}

variable "host" {
  description = "The address that clients reach the app at, where nothing in the task tells it."
  type        = string
  default     = null
}

variable "region" {
  description = "Instead of the task's own."
  type        = string
  default     = null
}

variable "az" {
  description = "Instead of the task's own."
  type        = string
  default     = null
}

variable "log" {
  description = "What is logged: a level, or target=level with commas."
  type        = string
  default     = null
}

variable "log_format" {
  description = "text or json."
  type        = string
  default     = null

  validation {
    condition     = var.log_format == null || contains(["text", "json"], coalesce(var.log_format, "text"))
    error_message = "It is text or json."
  }
}

variable "extra_environment" {
  description = "Variables of others, such as AWS_EC2_METADATA_DISABLED. Those of the sidecar have inputs of their own."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.extra_environment) : !startswith(name, "SDS_")])
    error_message = "Each SDS_ variable has an input of its own in this module."
  }
}

variable "essential" {
  description = "Whether the task ends with the sidecar. Only so ECS waits in a deploy until the new task is registered."
  type        = bool
  default     = true
  nullable    = false
}

variable "start_period" {
  description = "Seconds that an app may take to be registered before failed health checks count; retries after it come besides."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.start_period >= 0 && var.start_period <= 300 && floor(var.start_period) == var.start_period
    error_message = "ECS takes 0 to 300 whole seconds."
  }
}

variable "retries" {
  description = "Health checks, 10 s apart, that may fail after it before ECS replaces the task."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = var.retries >= 1 && var.retries <= 10 && floor(var.retries) == var.retries
    error_message = "ECS takes an integer from 1 to 10."
  }
}

variable "cpu" {
  description = "CPU units of the container."
  type        = number
  default     = 16
  nullable    = false
}

variable "memory_reservation" {
  description = "Its memory in MiB, as a reservation."
  type        = number
  default     = 16
  nullable    = false
}

variable "log_configuration" {
  description = "Where its log goes, as ECS spells it: { logDriver, options }."
  type = object({
    logDriver = string
    options   = optional(map(string), {})
  })
  default = null
}
