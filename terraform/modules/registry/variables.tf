# Where it runs

variable "name" {
  description = "Names everything that is made here. Decide before the first apply: another name is another load balancer and another table, which the plan refuses."
  type        = string
  default     = "sds"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,17}[a-z0-9])?$", var.name)) && !startswith(var.name, "internal-")
    error_message = "A letter, then up to 18 of a-z0-9-, no hyphen at the end, no internal- before: so are names of load balancers and target groups."
  }
}

variable "image" {
  description = "The image of sds-api, best by its digest or a tag that never moves. To upgrade or to go back is to change it."
  type        = string
}

variable "cluster_arn" {
  description = "The ECS cluster that the registry itself runs in."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9_-]+$", var.cluster_arn))
    error_message = "The cluster's ARN is needed, in its long form."
  }
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets for replicas and load balancer, each in another zone. They need a way to DynamoDB, ECR, CloudWatch Logs, and, where used, Secrets Manager, ECS and STS. Decide before the first apply: the load balancer cannot change them."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "One zone may be lost: at least two subnets are needed."
  }
}

variable "load_balancer_addresses" {
  description = "A fixed private address of the load balancer in each subnet, in the order of subnet_ids. With them the registry believes these addresses alone who is behind a connection; without, all of these subnets. Decide before the first apply: the load balancer cannot change them."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = contains([0, length(var.subnet_ids)], length(var.load_balancer_addresses))
    error_message = "Give none, or one for each subnet."
  }
  validation {
    condition     = alltrue([for it in var.load_balancer_addresses : can(cidrnetmask("${it}/32"))])
    error_message = "IPv4 addresses are needed."
  }
}

variable "cpu" {
  description = "CPU units of a replica."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "Fargate has 256, 512, 1024, 2048, 4096, 8192 and 16384."
  }
}

variable "memory" {
  description = "Memory of a replica in MiB."
  type        = number
  default     = 1024
  nullable    = false

  validation {
    condition     = var.memory == 512 || (var.memory > 0 && var.memory % 1024 == 0)
    error_message = "Fargate has 512, and multiples of 1024."
  }
}

variable "cpu_architecture" {
  description = "X86_64 or ARM64, as the image is."
  type        = string
  default     = "X86_64"
  nullable    = false

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "X86_64 or ARM64."
  }
}

variable "replicas" {
  description = "How many replicas there are at least and at most, and the CPU in percent that they are scaled for."
  type = object({
    min = optional(number, 2)
    max = optional(number, 6)
    cpu = optional(number, 50)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.replicas.min >= 2 && var.replicas.max >= var.replicas.min
    error_message = "A registry of one replica is away with each deploy: min is at least 2, and max at least min."
  }
  validation {
    condition     = alltrue([for it in values(var.replicas) : floor(it) == it]) && var.replicas.cpu >= 1 && var.replicas.cpu <= 100
    error_message = "Whole numbers are needed, and a percentage from 1 to 100."
  }
}

variable "wait_for_steady_state" {
  description = "Whether an apply ends only when the new replicas serve, and fails when they do not come up."
  type        = bool
  default     = true
  nullable    = false
}

# The table

variable "existing_table" {
  # An object is there or not, also while the name of a table that the same plan makes is unknown.
  description = "{ name } of a table that is there already, such as cookpad/sds's: partition key service (S), sort key ip_port (S), TTL attribute expire_time. null makes one."
  type        = object({ name = string })
  default     = null
}

variable "table_kms_key_arn" {
  description = "A KMS key of yours that encrypts the table; null takes the one that DynamoDB owns."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether table and load balancer refuse to be deleted."
  type        = bool
  default     = true
  nullable    = false
}

# Who may

variable "policy" {
  description = "Who may register what: the text of SDS_POLICY, TOML or JSON. It has no secrets, tokens are in it as hashes."
  type        = string
  default     = null

  validation {
    condition     = var.policy != null || var.allow_open_writes
    error_message = "Without a policy everybody who reaches the registry may register as any service. Write one, or say allow_open_writes = true."
  }
  validation {
    # What is neither is taken for the path of a file, which is not in the container.
    condition     = var.policy == null || can(regex("^\\s*[\\[{]|\n", var.policy))
    error_message = "This is not the text of a policy."
  }
  validation {
    # As it stands in the task definition, quotes escaped.
    condition     = var.policy == null || length(jsonencode(coalesce(var.policy, "-"))) < 48000
    error_message = "ECS takes 64 KB for the whole task definition, so the policy has 48,000 characters at most."
  }
}

variable "allow_open_writes" {
  description = "Whether security groups alone may decide who registers, where there is no policy or it leaves something open."
  type        = bool
  default     = false
  nullable    = false
}

variable "audience" {
  description = "The registry's name, which tasks prove their role to (mode aws). Needs a policy, token_keys and ecs_clusters."
  type        = string
  default     = null

  validation {
    condition     = (var.audience == null) == (var.secrets.token_keys == null)
    error_message = "audience and secrets.token_keys go together: both let tasks prove their role."
  }
  validation {
    condition     = var.audience == null || (var.policy != null && length(var.ecs_clusters) > 0)
    error_message = "Who proves a role is looked up in the policy, and in ECS: policy and ecs_clusters are needed."
  }
}

variable "ecs_clusters" {
  description = "ARNs of clusters whose tasks ECS is asked about: it tells of tasks that stopped or were killed, and whose task a proof is."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.ecs_clusters : can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9_-]+$", arn))])
    error_message = "ARNs of clusters are needed, the registry's role is limited by them."
  }
}

variable "secrets" {
  description = "ARNs in Secrets Manager or SSM. token_keys: from `sds-api token key`. peers_token: a token whose policy has snapshot = true. tls_*, peers_ca: PEM texts."
  type = object({
    token_keys    = optional(string)
    peers_token   = optional(string)
    tls_cert      = optional(string)
    tls_key       = optional(string)
    tls_client_ca = optional(string)
    peers_ca      = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = (var.secrets.tls_cert == null) == (var.secrets.tls_key == null)
    error_message = "tls_cert and tls_key go together."
  }
  validation {
    condition     = var.secrets.tls_client_ca == null || var.secrets.tls_cert != null
    error_message = "Clients show certificates over TLS alone: tls_client_ca needs tls_cert and tls_key."
  }
  validation {
    condition = alltrue([
      for arn in values(var.secrets) : arn == null || can(regex("^arn:[a-z-]+:(secretsmanager:[^:]+:[0-9]+:secret|ssm:[^:]+:[0-9]+:parameter)[:/]", arn))
    ])
    error_message = "ARNs of Secrets Manager or of SSM parameters are needed."
  }
}

variable "secrets_kms_key_arns" {
  description = "KMS keys of yours that encrypt those secrets."
  type        = list(string)
  default     = []
  nullable    = false
}

# Who reaches it

variable "listeners" {
  description = "Listeners apart from the main one: write (registrations), admin (operators, metrics), xds (streams). What is not named is served by the main one."
  type        = set(string)
  default     = ["write"]
  nullable    = false

  validation {
    condition     = length(setsubtract(var.listeners, ["write", "admin", "xds"])) == 0
    error_message = "There are write, admin and xds."
  }
}

variable "clients" {
  description = "Who may connect to which listener: main (polls; here too what has no listener of its own), write, admin, xds. Networks and ids of security groups, each under a name of yours: the name is the rule's key, so one can go without the others, and the value may be unknown in a plan."
  type = map(object({
    cidrs           = optional(map(string), {})
    security_groups = optional(map(string), {})
  }))
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.clients), setunion(["main"], var.listeners))) == 0
    error_message = "Clients of a listener that is not open: name it in listeners."
  }
  validation {
    condition     = length(setsubtract(setunion(["main"], var.listeners), [for name, who in var.clients : name if length(who.cidrs) + length(who.security_groups) > 0])) == 0
    error_message = "A listener is open that nobody may connect to."
  }
  validation {
    condition     = alltrue(flatten([for who in var.clients : [for it in values(who.cidrs) : try("${cidrhost(it, 0)}/${split("/", it)[1]}" == it ? cidrnetmask(it) != "" : false, false)]]))
    error_message = "A network is IPv4, as 10.0.0.0/16, and begins with its first address: the load balancer has no IPv6."
  }
  validation {
    condition     = alltrue([for who in var.clients : length(distinct(values(who.cidrs))) == length(who.cidrs) && length(distinct(values(who.security_groups))) == length(who.security_groups)])
    error_message = "The same client is there twice for one listener, which AWS refuses."
  }
  validation {
    condition     = alltrue(flatten([for who in var.clients : [for it in values(who.security_groups) : can(regex("^sg-[0-9a-z]+$", it))]]))
    error_message = "Ids of security groups are needed, as sg-0123abcd."
  }
  validation {
    # They are in descriptions of rules.
    condition     = alltrue(flatten([for who in var.clients : [for it in concat(keys(who.cidrs), keys(who.security_groups)) : can(regex("^[A-Za-z0-9._-]{1,64}$", it))]]))
    error_message = "A client's name is 1 to 64 of A-Za-z0-9._-."
  }
}

variable "scrapers" {
  description = "Security groups that may connect to each replica itself, where metrics are served: a load balancer would show one replica's. Ids under names of yours."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name, it in var.scrapers : can(regex("^[A-Za-z0-9._-]{1,64}$", name)) && can(regex("^sg-[0-9a-z]+$", it))])
    error_message = "Names and ids of security groups are needed, as { prometheus = \"sg-0123abcd\" }."
  }
}

variable "dns" {
  description = "A name for the load balancer in a Route 53 zone of yours."
  type = object({
    zone_id = string
    name    = string
  })
  default = null
}

variable "peers_namespace" {
  description = "A name that ends in a private zone of its own, as all.sds-replicas.internal: its addresses are the replicas. A replica that starts while DynamoDB is away finds there who still knows the fleet. null makes none. Known in the plan: it says whether there is a zone."
  type        = string
  default     = null

  validation {
    condition     = var.peers_namespace == null || can(regex("^[a-z0-9-]+([.][a-z0-9-]+){2,}$", var.peers_namespace))
    error_message = "A name of three parts at least: the first is the replicas', the rest the zone's."
  }
  validation {
    # In the VPC the zone of the replicas hides whatever an outer zone has below its name.
    condition     = var.peers_namespace == null || var.dns == null || !endswith(".${try(var.dns.name, "")}", trimprefix(coalesce(var.peers_namespace, "x"), split(".", coalesce(var.peers_namespace, "x"))[0]))
    error_message = "dns.name would be looked for in the zone of the replicas, where it is not: choose another name for peers_namespace."
  }
  validation {
    condition     = var.peers_namespace == null || var.policy == null || var.secrets.peers_token != null
    error_message = "With a policy a replica gives its snapshot to a token alone: secrets.peers_token, whose hash the policy has with snapshot = true."
  }
  validation {
    condition     = (var.secrets.peers_ca != null) == (var.peers_namespace != null && var.secrets.tls_cert != null)
    error_message = "peers_ca is for peers_namespace together with TLS, and needed then: replicas ask each other over https."
  }
}

# Times and options

variable "shutdown_delay" {
  description = "Seconds between SIGTERM and the close of the listeners. A task that is stopped by hand was not deregistered before: the load balancer has to see that /readyz fails, and sends connections for a while still."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.shutdown_delay >= 0 && var.shutdown_delay <= 100 && floor(var.shutdown_delay) == var.shutdown_delay
    error_message = "Whole seconds: it and 20 s for what is in flight have to fit into ECS's 120 s."
  }
}

variable "deregistration_delay" {
  description = "Seconds between a replica's leave of the load balancer and its SIGTERM, in a deploy. Users report that for about two minutes after it a network load balancer sends new connections still."
  type        = number
  default     = 120
  nullable    = false

  validation {
    condition     = var.deregistration_delay >= 0 && var.deregistration_delay <= 3600 && floor(var.deregistration_delay) == var.deregistration_delay
    error_message = "The load balancer takes 0 to 3600 whole seconds."
  }
}

variable "options" {
  description = "Other variables of the registry, as README.md lists them: SDS_LEASE, HOST_TTL, SDS_RATE_WRITES .."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.options), local.options)) == 0
    error_message = "Not an option of the registry, or one that this module sets itself by another input."
  }
}

# Logs and alarms

variable "log_retention_days" {
  description = "How long logs are kept, the audit of writes among them."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch has 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 days, years of three to ten, and 0, for ever."
  }
}

variable "log_kms_key_arn" {
  description = "A KMS key of yours that encrypts them."
  type        = string
  default     = null
}

variable "alarm_actions" {
  description = "ARNs of SNS topics that alarms are sent to."
  type        = list(string)
  default     = []
  nullable    = false
}
