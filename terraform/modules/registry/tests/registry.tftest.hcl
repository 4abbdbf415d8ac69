# What matters about the registry's module, held against the provider's own schema.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "ap-northeast-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_subnet" {
    defaults = { cidr_block = "10.0.0.0/20" }
  }
}

variables {
  image       = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/sds-api:0.1.0"
  cluster_arn = "arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"
  vpc_id      = "vpc-1"
  subnet_ids  = ["subnet-1", "subnet-2"]
  policy      = "{\"services\":[{\"names\":[\"*\"],\"mode\":\"token\"}]}"
  clients     = { main = { cidrs = { vpc = "10.0.0.0/16" } }, write = { cidrs = { apps = "10.0.0.0/17" } } }
}

run "plain" {
  command = plan

  assert {
    condition     = alltrue([for it in aws_lb_target_group.this : it.proxy_protocol_v2 && it.protocol == "TCP" && it.target_type == "ip" && it.preserve_client_ip == "false"])
    error_message = "without PROXY protocol v2 the registry does not know who registers"
  }
  assert {
    condition     = alltrue([for it in aws_lb_target_group.this : it.health_check[0].protocol == "HTTP" && it.health_check[0].path == "/readyz"])
    error_message = "a replica that is not ready gets connections"
  }
  assert {
    condition     = aws_lb.this.internal && aws_lb.this.load_balancer_type == "network" && aws_lb.this.enable_cross_zone_load_balancing
    error_message = "the load balancer is not an internal one of all zones"
  }
  assert {
    condition     = aws_lb.this.enable_deletion_protection && aws_dynamodb_table.this[0].deletion_protection_enabled
    error_message = "what must not be deleted can be"
  }
  assert {
    condition = (
      aws_dynamodb_table.this[0].hash_key == "service" && aws_dynamodb_table.this[0].range_key == "ip_port"
      && aws_dynamodb_table.this[0].billing_mode == "PAY_PER_REQUEST" && aws_dynamodb_table.this[0].point_in_time_recovery[0].enabled
      && aws_dynamodb_table.this[0].ttl[0].attribute_name == "expire_time" && aws_dynamodb_table.this[0].ttl[0].enabled
    )
    error_message = "the table is not one of the registry's"
  }
  assert {
    condition = (
      aws_ecs_service.this.desired_count == 2 && aws_appautoscaling_target.this.min_capacity == 2
      && aws_ecs_service.this.deployment_minimum_healthy_percent == 100 && aws_ecs_service.this.deployment_maximum_percent == 200
      && aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    )
    error_message = "a deploy leaves fewer than two replicas, or is not taken back"
  }
  assert {
    condition     = aws_appautoscaling_target.this.resource_id == "service/prod/sds"
    error_message = aws_appautoscaling_target.this.resource_id
  }
  assert {
    condition     = !aws_ecs_service.this.network_configuration[0].assign_public_ip
    error_message = "replicas have public addresses"
  }
  assert {
    condition     = one(jsondecode(aws_ecs_task_definition.this.container_definitions)).stopTimeout == 80
    error_message = "the times of a stop do not fit together"
  }
  assert {
    condition = { for it in one(jsondecode(aws_ecs_task_definition.this.container_definitions)).environment : it.name => it.value } == {
      SDS_LISTEN          = "0.0.0.0:8080"
      SDS_WRITE_LISTEN    = "0.0.0.0:8081"
      AWS_REGION          = "ap-northeast-1"
      DDB_TABLE           = "sds"
      SDS_POLICY          = var.policy
      SDS_TRUSTED_PROXIES = "10.0.0.0/20"
      SDS_SHUTDOWN_DELAY  = "60s"
      SDS_LOG_FORMAT      = "json"
    }
    error_message = aws_ecs_task_definition.this.container_definitions
  }
  # The table, and nothing else.
  assert {
    condition = [for it in jsondecode(aws_iam_role_policy.task.policy).Statement : [it.Sid, it.Resource]] == [
      ["Table", "arn:aws:dynamodb:ap-northeast-1:111122223333:table/sds"]
    ]
    error_message = aws_iam_role_policy.task.policy
  }
  assert {
    condition     = toset(flatten([for it in jsondecode(aws_iam_role_policy.execution.policy).Statement : it.Action if contains(flatten([it.Resource]), "*")])) == toset(["ecr:GetAuthorizationToken"])
    error_message = aws_iam_role_policy.execution.policy
  }
  assert {
    condition     = length(aws_service_discovery_service.replicas) == 0 && length(aws_vpc_security_group_ingress_rule.siblings) == 0
    error_message = "siblings may ask each other, and nobody said so"
  }
  # Nobody but the load balancer reaches a replica.
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.scrapers) == 0 && toset(keys(aws_vpc_security_group_ingress_rule.from_load_balancer)) == toset(["main", "write"])
    error_message = "replicas are reached past the load balancer"
  }
  assert {
    condition     = toset(keys(aws_vpc_security_group_ingress_rule.clients_by_cidr)) == toset(["main-vpc", "write-apps"])
    error_message = "somebody else may connect"
  }
}

# Rendered too: the program has to take all of it at once.
run "rendered_whole" {
  command = plan
  variables {
    audience     = "sds.prod"
    ecs_clusters = ["arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"]
    secrets = {
      token_keys  = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/keys-a1b2c3:key::"
      peers_token = "arn:aws:ssm:ap-northeast-1:111122223333:parameter/sds/peers"
      tls_cert    = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/cert-a1b2c3"
      tls_key     = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/key-a1b2c3"
      peers_ca    = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/ca-a1b2c3"
    }
    secrets_kms_key_arns    = ["arn:aws:kms:ap-northeast-1:111122223333:key/2"]
    table_kms_key_arn       = "arn:aws:kms:ap-northeast-1:111122223333:key/1"
    listeners               = ["write", "admin", "xds"]
    clients                 = { main = { cidrs = { vpc = "10.0.0.0/16" } }, write = { security_groups = { web = "sg-1", shop = "sg-2" } }, admin = { cidrs = { office = "10.0.0.0/24" } }, xds = { cidrs = { envoys = "10.1.0.0/16" } } }
    scrapers                = { prometheus = "sg-3" }
    peers_namespace         = "all.sds-replicas.internal"
    load_balancer_addresses = ["10.0.0.10", "10.0.16.10"]
    dns                     = { zone_id = "Z1", name = "sds.internal" }
    options                 = { SDS_LEASE = "20s" }
    alarm_actions           = ["arn:aws:sns:ap-northeast-1:111122223333:on-call"]
  }

  assert {
    condition = { for it in one(jsondecode(aws_ecs_task_definition.this.container_definitions)).environment : it.name => it.value if it.name != "SDS_POLICY" } == {
      SDS_LISTEN          = "0.0.0.0:8080"
      SDS_WRITE_LISTEN    = "0.0.0.0:8081"
      SDS_ADMIN_LISTEN    = "0.0.0.0:8082"
      SDS_XDS_LISTEN      = "0.0.0.0:8083"
      AWS_REGION          = "ap-northeast-1"
      DDB_TABLE           = "sds"
      SDS_AUDIENCE        = "sds.prod"
      SDS_ECS_CLUSTERS    = "arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"
      SDS_PEERS           = "https://all.sds-replicas.internal:8081"
      SDS_TRUSTED_PROXIES = "10.0.0.10/32,10.0.16.10/32"
      SDS_SHUTDOWN_DELAY  = "60s"
      SDS_LOG_FORMAT      = "json"
      SDS_LEASE           = "20s"
    }
    error_message = aws_ecs_task_definition.this.container_definitions
  }
  assert {
    condition     = toset([for it in one(jsondecode(aws_ecs_task_definition.this.container_definitions)).secrets : it.name]) == toset(["SDS_TOKEN_KEYS", "SDS_PEERS_TOKEN", "SDS_TLS_CERT", "SDS_TLS_KEY", "SDS_PEERS_CA"])
    error_message = aws_ecs_task_definition.this.container_definitions
  }
  assert {
    condition     = toset(flatten([for it in jsondecode(aws_iam_role_policy.task.policy).Statement : it.Action if contains(flatten([it.Resource]), "*")])) == toset(["ecs:ListTasks"])
    error_message = aws_iam_role_policy.task.policy
  }
  assert {
    condition = alltrue([
      for it in jsondecode(aws_iam_role_policy.task.policy).Statement :
      it.Condition.ArnEquals["ecs:cluster"] == ["arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"] if strcontains(it.Action[0], "ecs:")
    ])
    error_message = "ECS may be asked about other clusters"
  }
  assert {
    condition     = { for it in jsondecode(aws_iam_role_policy.task.policy).Statement : it.Sid => it.Resource }["TasksOfTheseClusters"] == ["arn:aws:ecs:ap-northeast-1:111122223333:task/prod/*"]
    error_message = aws_iam_role_policy.task.policy
  }
  assert {
    condition = { for it in jsondecode(aws_iam_role_policy.execution.policy).Statement : it.Sid => it.Resource if contains(["Secrets", "Parameters", "KeysOfSecrets"], it.Sid) } == {
      Secrets = [
        "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/ca-a1b2c3",
        "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/cert-a1b2c3",
        "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/key-a1b2c3",
        "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:sds/keys-a1b2c3",
      ]
      Parameters    = ["arn:aws:ssm:ap-northeast-1:111122223333:parameter/sds/peers"]
      KeysOfSecrets = ["arn:aws:kms:ap-northeast-1:111122223333:key/2"]
    }
    error_message = aws_iam_role_policy.execution.policy
  }
  assert {
    condition     = alltrue([for it in aws_lb_target_group.this : it.health_check[0].protocol == "HTTPS"])
    error_message = "a health check without TLS fails at a listener with TLS"
  }
  assert {
    condition     = length(aws_lb_target_group.this) == 4 && length(aws_lb_listener.this) == 4
    error_message = "a listener is not reached"
  }
  assert {
    condition     = [output.url, output.write_url, output.xds_url] == ["https://sds.internal:8080", "https://sds.internal:8081", "https://sds.internal:8083"]
    error_message = output.url
  }
  assert {
    condition     = aws_service_discovery_private_dns_namespace.this["replicas"].name == "sds-replicas.internal" && aws_service_discovery_service.replicas["replicas"].name == "all"
    error_message = "the replicas have another name than their siblings ask for"
  }
  assert {
    condition     = aws_service_discovery_service.replicas["replicas"].health_check_custom_config[0].failure_threshold == 1
    error_message = "the provider drops the block, and ECS takes no such service"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.scrapers["prometheus"].from_port == 8082
    error_message = "metrics are at the admin listener"
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.clients_by_group) == 2 && aws_vpc_security_group_ingress_rule.clients_by_group["write-web"].from_port == 8081
    error_message = "who registers may not connect"
  }
}

# One alarm that counts lines said once in a replica's life needs one of them.
run "alarms" {
  command = plan
  assert {
    condition     = { for name, it in aws_cloudwatch_metric_alarm.log : name => it.datapoints_to_alarm } == { full-read-failed = 2, snapshot-served = 1, ecs-denied = 2, proxy-header = 2 }
    error_message = "a line that is said once never rings"
  }
}

# Each rule has its client's name: who goes takes no other rule along, and who is not known yet can be planned.
run "clients_before" {
  command = plan
  variables {
    clients = {
      main  = { cidrs = { office = "10.9.0.0/16", vpc = "10.0.0.0/16" } }
      write = { security_groups = { shop = "sg-1", web = "sg-2" } }
    }
    scrapers = { grafana = "sg-3", prometheus = "sg-4" }
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients_by_group["write-web"].referenced_security_group_id == "sg-2" && aws_vpc_security_group_ingress_rule.scrapers["prometheus"].referenced_security_group_id == "sg-4"
    error_message = "a rule is not under its client's name"
  }
}

run "clients_after" {
  command = plan
  variables {
    clients = {
      main  = { cidrs = { vpc = "10.0.0.0/16" } }
      write = { security_groups = { web = "sg-2" } }
    }
    scrapers = { prometheus = "sg-4" }
  }
  assert {
    condition = (
      toset(keys(aws_vpc_security_group_ingress_rule.clients_by_cidr)) == toset(["main-vpc"]) && aws_vpc_security_group_ingress_rule.clients_by_cidr["main-vpc"].cidr_ipv4 == "10.0.0.0/16"
      && toset(keys(aws_vpc_security_group_ingress_rule.clients_by_group)) == toset(["write-web"]) && aws_vpc_security_group_ingress_rule.clients_by_group["write-web"].referenced_security_group_id == "sg-2"
      && aws_vpc_security_group_ingress_rule.scrapers["prometheus"].referenced_security_group_id == "sg-4"
    )
    error_message = "a rule moved when another client went"
  }
}

run "what_is_unknown_in_a_plan" {
  command = plan
  module {
    source = "./tests/unknown"
  }
}

run "null_is_the_default" {
  command = plan
  variables {
    name                    = null
    load_balancer_addresses = null
    replicas                = null
    ecs_clusters            = null
    secrets                 = null
    listeners               = null
    scrapers                = null
    shutdown_delay          = null
    options                 = null
    alarm_actions           = null
  }
  assert {
    condition     = aws_ecs_service.this.name == "sds" && aws_ecs_service.this.desired_count == 2
    error_message = "null is not the default"
  }
}

run "an_image_of_ecr_by_ipv6_in_fips_mode" {
  command = plan
  variables {
    image = "111122223333.dkr-ecr-fips.us-east-1.on.aws/sds-api@sha256:0123"
  }
  assert {
    condition     = contains([for it in jsondecode(aws_iam_role_policy.execution.policy).Statement : it.Resource], ["arn:aws:ecr:us-east-1:111122223333:repository/sds-api"])
    error_message = aws_iam_role_policy.execution.policy
  }
}

run "on_a_table_that_is_there" {
  command = plan
  variables {
    existing_table = { name = "sds-hosts" }
  }
  assert {
    condition     = length(aws_dynamodb_table.this) == 0 && output.table == "sds-hosts"
    error_message = "another table was made"
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.task.policy).Statement[0].Resource == "arn:aws:dynamodb:ap-northeast-1:111122223333:table/sds-hosts"
    error_message = aws_iam_role_policy.task.policy
  }
}

run "applied" {
  command = apply
  variables {
    dns             = { zone_id = "Z1", name = "sds.internal" }
    listeners       = ["write", "admin", "xds"]
    clients         = { for name in ["main", "write", "admin", "xds"] : name => { cidrs = { vpc = "10.0.0.0/16" } } }
    peers_namespace = "all.sds-replicas.internal"
    secrets         = { peers_token = "arn:aws:ssm:ap-northeast-1:111122223333:parameter/sds/peers" }
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.few_replicas.dimensions["TargetGroup"] == aws_lb_target_group.this["main"].arn_suffix && aws_cloudwatch_metric_alarm.few_replicas.threshold == 2
    error_message = "the alarm looks elsewhere"
  }
  assert {
    condition     = length(aws_ecs_service.this.load_balancer) == 4 && length(aws_ecs_service.this.service_registries) == 1
    error_message = "a replica is not told of everywhere"
  }
}
