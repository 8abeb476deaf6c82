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

# A host pulls this image, reads this secret, writes this log, and speaks of its own group's life.
data "aws_iam_policy_document" "hosts" {
  statement {
    sid       = "Login"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # the action knows no narrower one
  }
  statement {
    sid       = "Pull"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [aws_ecr_repository.this.arn]
  }
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:${data.aws_partition.current.partition}:logs:${local.here}:log-group:${var.log_group_name}:*"]
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
