# Made for real; what the imitation does not give back as it was given is left out of the comparison.
resource "aws_ecs_service" "this" {
  lifecycle {
    ignore_changes = [
      desired_count,
      availability_zone_rebalancing,
      capacity_provider_strategy,
      deployment_controller,
      enable_ecs_managed_tags,
      health_check_grace_period_seconds,
    ]
  }
}

resource "aws_cloudfront_distribution" "this" {
  lifecycle {
    ignore_changes = [default_cache_behavior, ordered_cache_behavior, viewer_certificate]
  }
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  lifecycle {
    ignore_changes = [description]
  }
}
