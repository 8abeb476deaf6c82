data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "hosts" {
  name               = local.name
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_instance_profile" "hosts" {
  name = local.name
  role = aws_iam_role.hosts.name
}

locals {
  here = "${local.region}:${data.aws_caller_identity.current.account_id}"
}

# A host pulls its images, reads this secret, writes its log and metrics, and speaks of its own group's life.
data "aws_iam_policy_document" "hosts" {
  statement {
    sid       = "Login"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # the action knows no narrower one
  }
  statement {
    sid       = "Pull"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = concat([aws_ecr_repository.this.arn], var.collector[*].repository_arn)
  }
  statement {
    sid     = "Log"
    actions = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = concat(
      ["arn:${data.aws_partition.current.partition}:logs:${local.here}:log-group:${var.log_group_name}:*"],
      [for arn in var.collector[*].log_group_arn : "${arn}:*"],
    )
  }
  dynamic "statement" {
    for_each = compact(var.collector[*].workspace_arn)

    content {
      sid       = "Prometheus"
      actions   = ["aps:RemoteWrite"]
      resources = [statement.value]
    }
  }
  statement {
    sid       = "Secret"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.state.secret.arn]
  }
  statement {
    sid       = "Lifecycle"
    actions   = ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"]
    resources = ["arn:${data.aws_partition.current.partition}:autoscaling:${local.here}:autoScalingGroup:*:autoScalingGroupName/${local.name}"]
  }
}

resource "aws_iam_role_policy" "hosts" {
  name   = "run"
  role   = aws_iam_role.hosts.id
  policy = data.aws_iam_policy_document.hosts.json
}
