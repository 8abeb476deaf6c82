# Made for real; what the imitation does not give back as it was given is left out of the comparison.
resource "aws_launch_template" "hosts" {
  lifecycle {
    ignore_changes = [tag_specifications]
  }
}

resource "aws_autoscaling_group" "hosts" {
  lifecycle {
    ignore_changes = [default_instance_warmup]
  }
}

resource "aws_autoscaling_lifecycle_hook" "launch" {
  lifecycle {
    ignore_changes = [notification_target_arn, role_arn]
  }
}

resource "aws_autoscaling_lifecycle_hook" "terminate" {
  lifecycle {
    ignore_changes = [notification_target_arn, role_arn]
  }
}

resource "aws_autoscaling_policy" "packets" {
  lifecycle {
    ignore_changes = [enabled, predictive_scaling_configuration]
  }
}

resource "aws_vpc_security_group_ingress_rule" "control" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_ingress_rule" "cascade_control" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_ingress_rule" "cascade_media" {
  lifecycle {
    ignore_changes = [description]
  }
}
