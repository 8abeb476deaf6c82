resource "aws_ecs_cluster" "this" {
  name = "${var.prefix}-functions"

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_ecs_task_definition" "this" {
  for_each = var.services

  family                   = "${var.prefix}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.image.architecture
  }

  # In the order and with the defaults that AWS gives back: anything else is a difference at every plan.
  container_definitions = jsonencode(concat([{
    name                   = "function"
    image                  = local.image
    cpu                    = each.value.cpu - local.collector_cpu
    memory                 = each.value.memory - local.collector_memory
    essential              = true
    readonlyRootFilesystem = true
    stopTimeout            = var.timeouts.stop
    environment = [
      for name, value in merge(local.environment, {
        HEADRACE_CPU_LIMIT   = tostring(each.value.cpu / 1024)
        HEADRACE_FUNCTIONS   = join(",", each.value.functions)
        HEADRACE_SOCKET_PORT = tostring(each.key == "signaling" ? local.sockets_port : 0)
      }) : { name = name, value = value }
    ]
    secrets = [
      for name in var.state.secret.variables : { name = name, valueFrom = "${var.state.secret.arn}:${name}::" }
    ]
    portMappings = [
      for target in values(local.targets) : { containerPort = target.port, hostPort = target.port, protocol = "tcp" }
      if target.service == each.key
    ]
    ulimits = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
    # The image's own HEALTHCHECK: Fargate looks at the task definition only.
    healthCheck = {
      command     = ["CMD", "python", "-m", "functions.probe"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group_names[each.key]
        awslogs-region        = data.aws_region.current.name
        awslogs-stream-prefix = each.key
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
    # The other way round at the end: the collector sees the drain through.
    dependsOn      = [for container in local.collector_containers : { containerName = container.name, condition = "START" }]
    mountPoints    = []
    systemControls = []
    volumesFrom    = []
    }], [
    for container in local.collector_containers : merge(container, {
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = var.log_group_names[each.key]
          awslogs-region        = data.aws_region.current.name
          awslogs-stream-prefix = "collector"
          mode                  = "non-blocking"
          max-buffer-size       = "4m"
        }
      }
    })
  ]))
}

resource "aws_ecs_service" "this" {
  for_each = var.services

  name                              = each.key
  cluster                           = aws_ecs_cluster.this.id
  task_definition                   = aws_ecs_task_definition.this[each.key].arn
  desired_count                     = each.value.tasks.least
  health_check_grace_period_seconds = 60
  enable_ecs_managed_tags           = true
  propagate_tags                    = "SERVICE"

  # A new task is ready before an old one is told to go.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "capacity_provider_strategy" {
    for_each = { FARGATE = 100 - each.value.spot_percent, FARGATE_SPOT = each.value.spot_percent }

    content {
      capacity_provider = capacity_provider_strategy.key
      weight            = capacity_provider_strategy.value
      base              = capacity_provider_strategy.key == "FARGATE" ? 1 : 0
    }
  }

  network_configuration {
    subnets          = var.network.private_subnet_ids
    security_groups  = [aws_security_group.tasks.id, var.state.client_security_group_id]
    assign_public_ip = false
  }

  dynamic "load_balancer" {
    for_each = { for name, target in local.targets : name => target if target.service == each.key }

    content {
      target_group_arn = aws_lb_target_group.this[load_balancer.key].arn
      container_name   = "function"
      container_port   = load_balancer.value.port
    }
  }

  lifecycle {
    # Autoscaling's to say.
    ignore_changes = [desired_count]
  }

  # A target group without a listener takes no service, and tasks start with what their roles allow.
  depends_on = [
    aws_ecs_cluster_capacity_providers.this,
    aws_iam_role_policy.collector,
    aws_iam_role_policy.execution,
    aws_lb_listener.https,
    aws_lb_listener_rule.this,
  ]
}
