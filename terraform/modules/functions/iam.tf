data "aws_iam_policy_document" "tasks_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

# What starts a task: this image, these logs, this secret.
resource "aws_iam_role" "execution" {
  name               = "${var.prefix}-functions-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks_assume.json
}

data "aws_iam_policy_document" "execution" {
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
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = [for service in keys(var.services) : "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:log-group:${var.log_group_names[service]}:*"]
  }
  statement {
    sid       = "Secret"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.state.secret.arn]
  }
}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

# A function calls no AWS service; the collector beside it ships metrics, and may do nothing else.
resource "aws_iam_role" "task" {
  name               = "${var.prefix}-functions-task"
  assume_role_policy = data.aws_iam_policy_document.tasks_assume.json
}

data "aws_iam_policy_document" "collector" {
  count = var.collector == null ? 0 : 1

  statement {
    sid       = "CloudWatch"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${var.collector.log_group_arn}:*"]
  }
  dynamic "statement" {
    for_each = var.collector.workspace_arn[*]

    content {
      sid       = "Prometheus"
      actions   = ["aps:RemoteWrite"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "collector" {
  count = var.collector == null ? 0 : 1

  name   = "metrics"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.collector[0].json
}
