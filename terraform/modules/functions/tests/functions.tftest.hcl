mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "xx-test-1" }
  }
  mock_data "aws_ec2_managed_prefix_list" {
    defaults = { id = "pl-1", entries = [{ cidr = "192.0.2.0/24", description = "" }] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

mock_provider "aws" {
  alias = "us_east_1"
}

variables {
  prefix  = "test"
  network = { vpc_id = "vpc-1", cidr = "10.20.0.0/16", public_subnet_ids = ["subnet-1", "subnet-2"], private_subnet_ids = ["subnet-3", "subnet-4"] }
  state   = { client_security_group_id = "sg-1", secret = { arn = "arn:aws:secretsmanager:xx-test-1:1:secret:a", variables = ["REDIS_URL", "MONGODB_URI", "HEADRACE_JWT_KEYS"] } }
  domain  = { name = "live.example.org", zone_id = "Z1" }
  image   = { tag = "0.1.0" }
  log_group_names = {
    api       = "/test/api"
    signaling = "/test/signaling"
    web       = "/test/web"
  }
}

run "silent_sockets_live_for_minutes_and_functions_outlast_the_load_balancer" {
  command = plan

  assert {
    condition     = aws_lb.this.idle_timeout >= 300 && var.timeouts.keep_alive > aws_lb.this.idle_timeout
    error_message = "Time-outs cut connections that are alive."
  }
}

run "a_drain_fits_into_what_the_platform_leaves_it" {
  command = plan

  assert {
    condition     = alltrue([for group in aws_lb_target_group.this : tonumber(group.deregistration_delay) > var.timeouts.drain])
    error_message = "The load balancer cuts before clients have moved."
  }
}

run "http_is_sent_to_https_and_tls_is_new" {
  command = plan

  assert {
    condition     = one(aws_lb_listener.http.default_action).type == "redirect" && one(one(aws_lb_listener.http.default_action).redirect).protocol == "HTTPS"
    error_message = "Plain HTTP is served."
  }
  assert {
    condition     = startswith(aws_lb_listener.https.ssl_policy, "ELBSecurityPolicy-TLS13-1-2")
    error_message = "TLS before 1.2 is taken."
  }
}

run "room_sockets_go_to_the_socket_server_and_metrics_to_nobody" {
  command = plan

  assert {
    condition     = aws_lb_target_group.this["sockets"].port == 8001 && aws_lb_target_group.this["sockets"].health_check[0].port == "8000"
    error_message = "Sockets have a port of their own; its process answers on the other."
  }
  assert {
    condition     = aws_lb_listener_rule.private.priority < min([for rule in aws_lb_listener_rule.this : rule.priority]...)
    error_message = "Another rule lets metrics out first."
  }
}

run "behind_cloudfront_the_load_balancer_takes_nobody_else" {
  command = plan

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.load_balancer : rule.cidr_ipv4 == null && rule.prefix_list_id == "pl-1"])
    error_message = "CloudFront can be gone around."
  }
  assert {
    condition     = strcontains(local.environment.HEADRACE_TRUSTED_PROXIES, "192.0.2.0/24")
    error_message = "All viewers would share CloudFront's address, and with it the limits."
  }
}

run "without_cloudfront_it_takes_everybody_on_80_and_443_only" {
  command = plan

  variables {
    cdn = null
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.load_balancer : rule.from_port]) == toset([80, 443])
    error_message = "Other ports are open."
  }
}

run "tasks_are_private_and_replaced_without_a_gap" {
  command = plan

  assert {
    condition = alltrue([for service in aws_ecs_service.this :
      !service.network_configuration[0].assign_public_ip && service.deployment_minimum_healthy_percent == 100
      && service.deployment_circuit_breaker[0].enable && service.deployment_circuit_breaker[0].rollback
    ])
    error_message = "A deployment may leave fewer tasks than wanted, or go on when it fails."
  }
}

run "there_is_a_service_for_each_function_and_one_image" {
  command = plan

  assert {
    condition     = toset(keys(aws_ecs_service.this)) == toset(["api", "signaling", "web"])
    error_message = "A service is missing."
  }
  assert {
    condition     = length(aws_appautoscaling_policy.cpu) == 3 && keys(aws_appautoscaling_policy.connections) == ["signaling"]
    error_message = "Each service scales by CPU, signaling by connections as well."
  }
}

run "a_drain_longer_than_the_stop_is_refused" {
  command = plan

  variables {
    timeouts = { drain = 60, deregistration = 90, stop = 60 }
  }

  expect_failures = [var.timeouts]
}

run "an_idle_timeout_near_the_ping_interval_is_refused" {
  command = plan

  variables {
    timeouts = { idle = 60 }
  }

  expect_failures = [var.timeouts]
}

run "the_latest_image_is_refused" {
  command = plan

  variables {
    image = { tag = "latest" }
  }

  expect_failures = [var.image]
}

run "a_collector_reads_metrics_inside_the_task_and_takes_nothing_from_the_drain" {
  command = plan

  variables {
    image = { uri = "registry.example/functions@sha256:00" }
    collector = {
      image          = "registry.example/collector@sha256:00"
      repository_arn = "arn:aws:ecr:xx-test-1:1:repository/test/collector"
      log_group_arn  = "arn:aws:logs:xx-test-1:1:log-group:/test/metrics"
      configurations = ["receivers: {}", "exporters: {}"]
      environment    = { HEADRACE_NAMESPACE = "test" }
    }
  }

  assert {
    condition = alltrue([
      for name, definition in aws_ecs_task_definition.this :
      sum([for container in jsondecode(definition.container_definitions) : container.memory]) == var.services[name].memory
      && sum([for container in jsondecode(definition.container_definitions) : container.cpu]) == var.services[name].cpu
    ])
    error_message = "The two containers take more than the task has, or less."
  }
  assert {
    condition     = alltrue([for definition in aws_ecs_task_definition.this : !strcontains(jsonencode(flatten([for container in jsondecode(definition.container_definitions) : container.portMappings])), "9464")])
    error_message = "The metrics' port can be reached from outside of the task."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this["api"].container_definitions)[0].dependsOn == [{ condition = "START", containerName = "collector" }]
    error_message = "The collector is stopped before the function has drained."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this["api"].container_definitions)[1].command == ["--config=env:HEADRACE_COLLECTOR_0", "--config=env:HEADRACE_COLLECTOR_1"] && !jsondecode(aws_ecs_task_definition.this["api"].container_definitions)[1].essential
    error_message = "A collector that ends would end the function with it."
  }
}

run "without_a_collector_a_task_has_one_container_without_metrics" {
  command = plan

  variables {
    image = { uri = "registry.example/functions@sha256:00" }
  }

  assert {
    condition     = alltrue([for definition in aws_ecs_task_definition.this : length(jsondecode(definition.container_definitions)) == 1 && !strcontains(definition.container_definitions, "HEADRACE_METRICS_PORT")])
    error_message = "There is a port that nobody reads."
  }
  assert {
    condition     = length(aws_iam_role_policy.collector) == 0
    error_message = "A task may do something without a reason."
  }
}
