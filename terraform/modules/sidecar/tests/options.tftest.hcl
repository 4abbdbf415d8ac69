# Each input ends as the variable that the sidecar reads. What is rendered is committed in rendered/, and the real sidecar is
# started with it.

variables {
  image         = "sds-sidecar:0.1.0"
  app_container = "app"
  api_url       = ["https://a.internal:8081", "https://b.internal:8081"]
}

run "rendered_one" {
  command = plan
  variables {
    services = [{
      service          = "web"
      port             = 8080
      check            = ["http://:8080/health", "ecs://app"]
      interval         = "5s"
      timeout          = "800ms"
      rise             = 1
      fall             = 2
      start_period     = "2m"
      deregister_after = "1h"
      weight           = 50
      canary           = true
      revision         = "r1"
      tags             = { tier = "api", team = "web" }
    }]
    api_audience      = "sds.prod"
    secrets           = { SDS_API_CA = "arn:aws:ssm:r:1:parameter/ca" }
    linger            = "1m"
    stop_timeout      = 70
    inflight          = "20s"
    metadata_interval = "5s"
    admin_listen      = "127.0.0.1:9903"
    host              = "10.0.0.1"
    region            = "r"
    az                = "a"
    log               = "debug"
    log_format        = "json"
    extra_environment = { AWS_EC2_METADATA_DISABLED = "true" }
  }
  assert {
    condition = { for it in output.container_definition.environment : it.name => it.value } == {
      SDS_API_URL               = "https://a.internal:8081,https://b.internal:8081"
      SDS_API_AUDIENCE          = "sds.prod"
      SDS_SERVICE               = "web"
      SDS_PORT                  = "8080"
      SDS_ADMIN_LISTEN          = "127.0.0.1:9903"
      SDS_CONTAINER             = "app"
      SDS_CHECK                 = "http://:8080/health,ecs://app"
      SDS_INTERVAL              = "5s"
      SDS_TIMEOUT               = "800ms"
      SDS_RISE                  = "1"
      SDS_FALL                  = "2"
      SDS_START_PERIOD          = "2m"
      SDS_DEREGISTER_AFTER      = "1h"
      SDS_WEIGHT                = "50"
      SDS_CANARY                = "true"
      SDS_REVISION              = "r1"
      SDS_TAGS                  = "team=web,tier=api"
      SDS_LINGER                = "1m"
      SDS_INFLIGHT              = "20s"
      SDS_STOP_TIMEOUT          = "70s"
      SDS_METADATA_INTERVAL     = "5s"
      SDS_HOST                  = "10.0.0.1"
      SDS_REGION                = "r"
      SDS_AZ                    = "a"
      SDS_LOG                   = "debug"
      SDS_LOG_FORMAT            = "json"
      AWS_EC2_METADATA_DISABLED = "true"
    }
    error_message = output.json
  }
  assert {
    condition     = output.container_definition.stopTimeout == 70
    error_message = "ECS is told another stop timeout than the sidecar"
  }
  assert {
    condition     = output.container_definition.secrets == [{ name = "SDS_API_CA", valueFrom = "arn:aws:ssm:r:1:parameter/ca" }]
    error_message = output.json
  }
}

run "rendered_several" {
  command = plan
  variables {
    services = [
      { service = "web", port = 8080, check = ["http://:8080/health"] },
      { service = "web-grpc", port = 50051, check = ["grpc://:50051"], container = "grpc", weight = 50, tags = { tier = "api" } },
    ]
  }
  assert {
    condition = [for it in output.container_definition.environment : it.value if it.name == "SDS_CONFIG"] == [jsonencode({
      services = [
        { service = "web", port = 8080, check = ["http://:8080/health"], container = "app" },
        { service = "web-grpc", port = 50051, check = ["grpc://:50051"], container = "grpc", weight = 50, tags = { tier = "api" } },
      ]
    })]
    error_message = output.json
  }
  assert {
    condition     = !contains([for it in output.container_definition.environment : it.name], "SDS_SERVICE")
    error_message = "both forms at once are refused by the sidecar"
  }
}

run "null_is_the_default" {
  command = plan
  variables {
    services          = [{ service = "web", port = 8080, check = ["tcp://:8080"] }]
    secrets           = null
    linger            = null
    stop_timeout      = null
    extra_environment = null
    containers        = null
  }
  assert {
    condition     = jsondecode(output.json).stopTimeout == 30 && contains(jsondecode(output.json).environment, { name = "SDS_LINGER", value = "15s" })
    error_message = output.json
  }
}
