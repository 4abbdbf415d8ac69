# The files that the sidecar's manual ships are what this module renders: neither can change alone.

variables {
  image         = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/sds-sidecar:0.1.0"
  app_container = "app"
  services      = [{ service = "web", port = 8080, check = ["http://:8080/health"] }]
  api_url       = ["http://sds.internal:8080"]
  log_configuration = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = "/ecs/web"
      awslogs-region        = "ap-northeast-1"
      awslogs-stream-prefix = "sds"
    }
  }
}

run "fargate" {
  command = plan
  assert {
    condition     = output.json == jsonencode(jsondecode(file("../../../sidecar/examples/fargate.json")).containerDefinitions[1])
    error_message = "${output.json} is not the sidecar of fargate.json"
  }
}

run "ec2_bridge" {
  command = plan
  assert {
    condition     = output.json == jsonencode(jsondecode(file("../../../sidecar/examples/ec2-bridge.json")).containerDefinitions[1])
    error_message = "${output.json} is not the sidecar of ec2-bridge.json"
  }
}

run "ec2_host" {
  command = plan
  variables {
    admin_listen = "127.0.0.1:19080"
  }
  assert {
    condition     = output.json == jsonencode(jsondecode(file("../../../sidecar/examples/ec2-host.json")).containerDefinitions[1])
    error_message = "${output.json} is not the sidecar of ec2-host.json"
  }
}

run "a_whole_task" {
  command = plan
  variables {
    containers = [jsondecode(file("../../../sidecar/examples/fargate.json")).containerDefinitions[0]]
  }
  assert {
    condition     = output.container_definitions == jsonencode(jsondecode(file("../../../sidecar/examples/fargate.json")).containerDefinitions)
    error_message = "the containers of fargate.json are ${output.container_definitions}"
  }
}
