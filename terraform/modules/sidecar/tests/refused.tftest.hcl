# What the sidecar would refuse at its start, or ECS when the task is registered, is refused by the plan.

variables {
  image         = "sds-sidecar:0.1.0"
  app_container = "app"
  services      = [{ service = "web", port = 8080, check = ["http://:8080/health"] }]
  api_url       = ["http://sds.internal:8080"]
}

run "too_long_a_linger" {
  command = plan
  variables {
    linger = "21s"
  }
  expect_failures = [var.linger]
}

run "a_linger_in_minutes" {
  command = plan
  variables {
    linger = "2m"
  }
  expect_failures = [var.linger]
}

run "no_duration" {
  command = plan
  variables {
    linger = "soon"
  }
  expect_failures = [var.linger]
}

run "a_stop_timeout_that_ecs_refuses" {
  command = plan
  variables {
    stop_timeout = 121
  }
  expect_failures = [var.stop_timeout]
}

run "no_service" {
  command = plan
  variables {
    services = []
  }
  expect_failures = [var.services]
}

run "a_bad_name" {
  command = plan
  variables {
    services = [{ service = "-web", port = 8080, check = ["tcp://:8080"] }]
  }
  expect_failures = [var.services]
}

run "a_port_of_0" {
  command = plan
  variables {
    services = [{ service = "web", port = 0, check = ["tcp://:8080"] }]
  }
  expect_failures = [var.services]
}

run "the_sidecars_own_port" {
  command = plan
  variables {
    services = [{ service = "web", port = 9902, check = ["tcp://:8080"] }]
  }
  expect_failures = [var.services]
}

run "no_check" {
  command = plan
  variables {
    services = [{ service = "web", port = 8080, check = [] }]
  }
  expect_failures = [var.services]
}

run "a_check_of_nothing" {
  command = plan
  variables {
    services = [{ service = "web", port = 8080, check = [":8080/health"] }]
  }
  expect_failures = [var.services]
}

run "a_timeout_as_long_as_the_interval" {
  command = plan
  variables {
    services = [{ service = "web", port = 8080, check = ["tcp://:8080"], interval = "1s" }]
  }
  expect_failures = [var.services]
}

run "a_weight_of_0" {
  command = plan
  variables {
    services = [{ service = "web", port = 8080, check = ["tcp://:8080"], weight = 0 }]
  }
  expect_failures = [var.services]
}

run "a_fall_of_0" {
  command = plan
  variables {
    services = [{ service = "web", port = 8080, check = ["tcp://:8080"], fall = 0 }]
  }
  expect_failures = [var.services]
}

run "the_same_twice" {
  command = plan
  variables {
    services = [for n in [1, 2] : { service = "web", port = 8080, check = ["tcp://:8080"] }]
  }
  expect_failures = [var.services]
}

run "an_address_for_all" {
  command = plan
  variables {
    admin_listen = "0.0.0.0:9902"
  }
  expect_failures = [var.admin_listen]
}

run "no_url" {
  command = plan
  variables {
    api_url = ["sds.internal:8080"]
  }
  expect_failures = [var.api_url]
}

run "two_proofs" {
  command = plan
  variables {
    api_audience = "sds"
    secrets      = { SDS_API_TOKEN = "arn:aws:ssm:r:1:parameter/t" }
  }
  expect_failures = [var.api_audience]
}

run "a_variable_that_has_an_input" {
  command = plan
  variables {
    extra_environment = { SDS_LINGER = "1s" }
  }
  expect_failures = [var.extra_environment]
}

run "an_app_that_is_not_there" {
  command = plan
  variables {
    containers = [{ name = "other" }]
  }
  expect_failures = [var.containers]
}

run "the_wrong_way_round" {
  command = plan
  variables {
    containers = [{ name = "app", dependsOn = [{ containerName = "sds-sidecar", condition = "START" }] }]
  }
  expect_failures = [var.containers]
}

run "half_a_pass" {
  command = plan
  variables {
    services = [{ service = "web", port = 8080, check = ["tcp://:8080"], rise = 1.5 }]
  }
  expect_failures = [var.services]
}

run "half_a_weight" {
  command = plan
  variables {
    services = [{ service = "web", port = 8080, check = ["tcp://:8080"], weight = 1.5 }]
  }
  expect_failures = [var.services]
}

run "half_a_second_of_start" {
  command = plan
  variables {
    start_period = 30.5
  }
  expect_failures = [var.start_period]
}

run "half_a_retry" {
  command = plan
  variables {
    retries = 1.5
  }
  expect_failures = [var.retries]
}
