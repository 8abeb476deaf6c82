locals {
  hooks = { launch = "${local.name}-ready", terminate = "${local.name}-drain" }
}

resource "aws_autoscaling_group" "hosts" {
  name                      = local.name
  vpc_zone_identifier       = var.network.public_subnet_ids
  min_size                  = var.hosts.least
  max_size                  = var.hosts.most
  health_check_type         = "EC2" # a host whose workers have lost Redis still forwards: nothing may kill it for that
  health_check_grace_period = 60
  default_instance_warmup   = 60
  capacity_rebalance        = var.hosts.spot_percent > 0
  termination_policies      = ["OldestLaunchTemplate", "OldestInstance"]
  wait_for_capacity_timeout = "0" # the image may be pushed after the first apply
  force_delete              = !var.protect

  dynamic "launch_template" {
    for_each = var.hosts.spot_percent == 0 ? [aws_launch_template.hosts] : []

    content {
      id      = launch_template.value.id
      version = launch_template.value.latest_version
    }
  }

  dynamic "mixed_instances_policy" {
    for_each = var.hosts.spot_percent > 0 ? [aws_launch_template.hosts] : []

    content {
      instances_distribution {
        on_demand_base_capacity                  = 1
        on_demand_percentage_above_base_capacity = 100 - var.hosts.spot_percent
        spot_allocation_strategy                 = "price-capacity-optimized"
      }

      launch_template {
        launch_template_specification {
          launch_template_id = mixed_instances_policy.value.id
          version            = mixed_instances_policy.value.latest_version
        }
      }
    }
  }

  # A new launch template replaces the hosts: the new one is there first, the old one drains by the hook below.
  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 150
      instance_warmup        = 60
      skip_matching          = true
      auto_rollback          = true
    }
  }
}

# In service when its workers are registered; if they never are, it is replaced.
resource "aws_autoscaling_lifecycle_hook" "launch" {
  name                   = local.hooks.launch
  autoscaling_group_name = aws_autoscaling_group.hosts.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_LAUNCHING"
  heartbeat_timeout      = 600
  default_result         = "ABANDON"
}

# Gone when its workers have drained, or when it has not been heard of for too long.
resource "aws_autoscaling_lifecycle_hook" "terminate" {
  name                   = local.hooks.terminate
  autoscaling_group_name = aws_autoscaling_group.hosts.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = var.drain.hook
  default_result         = "CONTINUE"
}

# EC2 counts the packets that leave a host, over a minute: the budget's own unit, and nothing of ours has to report it.
resource "aws_autoscaling_policy" "packets" {
  name                      = "${local.name}-packets"
  autoscaling_group_name    = aws_autoscaling_group.hosts.name
  policy_type               = "TargetTrackingScaling"
  estimated_instance_warmup = 60

  target_tracking_configuration {
    target_value = var.worker.capacity_pps * local.cores * 60 * var.worker.scale_percent / 100

    customized_metric_specification {
      namespace   = "AWS/EC2"
      metric_name = "NetworkPacketsOut"
      statistic   = "Average"

      metric_dimension {
        name  = "AutoScalingGroupName"
        value = aws_autoscaling_group.hosts.name
      }
    }
  }
}
