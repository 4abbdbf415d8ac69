# What the registry is told. `own` are the variables that inputs of this module set; `options` may be set by hand; what is in
# neither makes no sense here (flags of the embedded store, files in a container whose disk is read-only and soon gone).

locals {
  ports  = { for name, port in { main = 8080, write = 8081, admin = 8082, xds = 8083 } : name => port if name == "main" || contains(var.listeners, name) }
  tls    = var.secrets.tls_cert != null
  scheme = local.tls ? "https" : "http"
  # Who serves what, of those that are open.
  port_of = { for name in ["main", "write", "admin", "xds"] : name => lookup(local.ports, name, local.ports.main) }

  own = {
    SDS_LISTEN            = "0.0.0.0:${local.ports.main}"
    SDS_WRITE_LISTEN      = try("0.0.0.0:${local.ports.write}", null)
    SDS_ADMIN_LISTEN      = try("0.0.0.0:${local.ports.admin}", null)
    SDS_XDS_LISTEN        = try("0.0.0.0:${local.ports.xds}", null)
    AWS_REGION            = local.region
    DDB_TABLE             = local.table
    SDS_POLICY            = var.policy
    SDS_ALLOW_OPEN_WRITES = var.allow_open_writes ? "true" : null
    SDS_AUDIENCE          = var.audience
    SDS_ECS_CLUSTERS      = length(var.ecs_clusters) == 0 ? null : join(",", var.ecs_clusters)
    SDS_PEERS             = var.peers_namespace == null ? null : "${local.scheme}://${var.peers_namespace}:${local.port_of.write}"
    SDS_TRUSTED_PROXIES   = join(",", distinct(local.load_balancer_networks))
    SDS_SHUTDOWN_DELAY    = "${var.shutdown_delay}s"
    SDS_LOG_FORMAT        = "json"
  }

  own_secrets = {
    SDS_TOKEN_KEYS    = var.secrets.token_keys
    SDS_PEERS_TOKEN   = var.secrets.peers_token
    SDS_TLS_CERT      = var.secrets.tls_cert
    SDS_TLS_KEY       = var.secrets.tls_key
    SDS_TLS_CLIENT_CA = var.secrets.tls_client_ca
    SDS_PEERS_CA      = var.secrets.peers_ca
  }

  options = [
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_ECS",
    "AWS_ENDPOINT_URL_STS",
    "DDB_TIMEOUT_SEC",
    "HOST_TTL",
    "SDS_CIDRS",
    "SDS_CONNECTIONS",
    "SDS_CONNECTION_AGE",
    "SDS_ECS_INTERVAL",
    "SDS_ECS_RATE",
    "SDS_ENV",
    "SDS_FAIL_OPEN",
    "SDS_FULL_READ",
    "SDS_HOLD_MAX",
    "SDS_LEASE",
    "SDS_LOG",
    "SDS_RATE_READS",
    "SDS_RATE_WRITES",
    "SDS_SNAPSHOT_MAX_AGE",
    "SDS_TOKEN_TTL",
    "SDS_XDS_GATEWAY",
  ]

  environment = { for name, value in merge(local.own, var.options) : name => value if value != null }
  secrets     = { for name, arn in local.own_secrets : name => arn if arn != null }
}
