# What would leave the registry open, alone or unable to start is refused by the plan.

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
  image       = "sds-api:0.1.0"
  cluster_arn = "arn:aws:ecs:ap-northeast-1:111122223333:cluster/prod"
  vpc_id      = "vpc-1"
  subnet_ids  = ["subnet-1", "subnet-2"]
  policy      = "{\"services\":[{\"names\":[\"*\"],\"mode\":\"token\"}]}"
  clients     = { main = { cidrs = { vpc = "10.0.0.0/16" } }, write = { cidrs = { apps = "10.0.0.0/17" } } }
}

run "an_open_registry" {
  command = plan
  variables {
    policy = null
  }
  expect_failures = [var.policy]
}

run "a_path_for_a_policy" {
  command = plan
  variables {
    policy = "/etc/sds/policy.toml"
  }
  expect_failures = [var.policy]
}

run "one_replica" {
  command = plan
  variables {
    replicas = { min = 1 }
  }
  expect_failures = [var.replicas]
}

run "one_zone" {
  command = plan
  variables {
    subnet_ids = ["subnet-1"]
  }
  expect_failures = [var.subnet_ids]
}

run "an_audience_without_keys" {
  command = plan
  variables {
    audience = "sds"
  }
  expect_failures = [var.audience]
}

run "keys_without_an_audience" {
  command = plan
  variables {
    secrets = { token_keys = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:s-a1b2c3" }
  }
  expect_failures = [var.audience]
}

run "an_audience_without_clusters" {
  command = plan
  variables {
    audience = "sds"
    secrets  = { token_keys = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:s-a1b2c3" }
  }
  expect_failures = [var.audience]
}

run "a_cluster_by_its_name" {
  command = plan
  variables {
    ecs_clusters = ["prod"]
  }
  expect_failures = [var.ecs_clusters]
}

run "half_of_tls" {
  command = plan
  variables {
    secrets = { tls_cert = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:s-a1b2c3" }
  }
  expect_failures = [var.secrets]
}

run "a_secret_in_plain_text" {
  command = plan
  variables {
    secrets = { peers_token = "sds_token_x" }
  }
  expect_failures = [var.secrets]
}

run "peers_whom_nobody_answers" {
  command = plan
  variables {
    peers_namespace = "all.sds-replicas.internal"
  }
  expect_failures = [var.peers_namespace]
}

run "clients_of_no_listener" {
  command = plan
  variables {
    clients = { for name in ["main", "write", "xds"] : name => { cidrs = { vpc = "10.0.0.0/16" } } }
  }
  expect_failures = [var.clients]
}

run "an_unknown_listener" {
  command = plan
  variables {
    listeners = ["metrics"]
  }
  expect_failures = [var.listeners]
}

run "a_slip_of_the_pen" {
  command = plan
  variables {
    options = { SDS_LEASES = "20s" }
  }
  expect_failures = [var.options]
}

run "an_option_that_has_an_input" {
  command = plan
  variables {
    options = { SDS_POLICY = "x" }
  }
  expect_failures = [var.options]
}

run "too_long_a_shutdown" {
  command = plan
  variables {
    shutdown_delay = 101
  }
  expect_failures = [var.shutdown_delay]
}

run "a_zone_that_hides_the_registrys_name" {
  command = plan
  variables {
    dns             = { zone_id = "Z1", name = "sds.internal" }
    peers_namespace = "replicas.sds.internal"
    secrets         = { peers_token = "arn:aws:ssm:ap-northeast-1:111122223333:parameter/sds/peers" }
  }
  expect_failures = [var.peers_namespace]
}

run "a_listener_without_clients" {
  command = plan
  variables {
    clients = { main = { cidrs = { vpc = "10.0.0.0/16" } } }
  }
  expect_failures = [var.clients]
}

run "a_hyphen_at_the_end" {
  command = plan
  variables {
    name = "sds-"
  }
  expect_failures = [var.name]
}

run "a_name_that_aws_keeps" {
  command = plan
  variables {
    name = "internal-sds"
  }
  expect_failures = [var.name]
}

run "a_cluster_without_an_account" {
  command = plan
  variables {
    cluster_arn = "prod"
  }
  expect_failures = [var.cluster_arn]
}

run "an_address_of_no_ip" {
  command = plan
  variables {
    load_balancer_addresses = ["10.0.0.10", "10.0.16.256"]
  }
  expect_failures = [var.load_balancer_addresses]
}

run "half_a_second" {
  command = plan
  variables {
    shutdown_delay = 30.5
  }
  expect_failures = [var.shutdown_delay]
}

run "half_a_second_of_deregistration" {
  command = plan
  variables {
    deregistration_delay = 0.5
  }
  expect_failures = [var.deregistration_delay]
}

run "half_a_replica" {
  command = plan
  variables {
    replicas = { max = 2.5 }
  }
  expect_failures = [var.replicas]
}

run "half_a_gigabyte_more" {
  command = plan
  variables {
    memory = 1536
  }
  expect_failures = [var.memory]
}

run "a_cpu_that_fargate_lacks" {
  command = plan
  variables {
    cpu = 500
  }
  expect_failures = [var.cpu]
}

run "days_that_cloudwatch_lacks" {
  command = plan
  variables {
    log_retention_days = 100
  }
  expect_failures = [var.log_retention_days]
}

run "too_long_a_policy" {
  command = plan
  variables {
    policy = "[ ${join("", [for nth in range(1000) : "01234567890123456789012345678901234567890123456789"])} ]"
  }
  expect_failures = [var.policy]
}

run "a_network_of_ipv6" {
  command = plan
  variables {
    clients = { main = { cidrs = { vpc = "10.0.0.0/16" } }, write = { cidrs = { apps = "fd00::/8" } } }
  }
  expect_failures = [var.clients]
}

run "a_network_that_is_none" {
  command = plan
  variables {
    clients = { main = { cidrs = { vpc = "10.0.0.0/16" } }, write = { cidrs = { apps = "10.0.0.0" } } }
  }
  expect_failures = [var.clients]
}

run "a_network_from_its_middle" {
  command = plan
  variables {
    clients = { main = { cidrs = { vpc = "10.0.0.0/16" } }, write = { cidrs = { apps = "10.0.0.1/16" } } }
  }
  expect_failures = [var.clients]
}

run "a_client_twice" {
  command = plan
  variables {
    clients = { main = { cidrs = { vpc = "10.0.0.0/16" } }, write = { security_groups = { web = "sg-1", shop = "sg-1" } } }
  }
  expect_failures = [var.clients]
}

run "a_group_by_its_name" {
  command = plan
  variables {
    clients = { main = { cidrs = { vpc = "10.0.0.0/16" } }, write = { security_groups = { web = "web" } } }
  }
  expect_failures = [var.clients]
}

run "a_client_with_spaces" {
  command = plan
  variables {
    clients = { main = { cidrs = { vpc = "10.0.0.0/16" } }, write = { security_groups = { "our web" = "sg-1" } } }
  }
  expect_failures = [var.clients]
}

run "a_scraper_by_its_name" {
  command = plan
  variables {
    scrapers = { prometheus = "prometheus" }
  }
  expect_failures = [var.scrapers]
}
