resource "aws_ecr_repository" "collector" {
  count = var.collector == null ? 0 : 1

  name                 = "${var.prefix}/collector"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.collector.force_delete

  encryption_configuration {
    encryption_type = "AES256"
  }

  image_scanning_configuration {
    scan_on_push = true
  }
}

# CloudWatch reads metrics out of these lines at once; nobody else does.
resource "aws_cloudwatch_log_group" "metrics" {
  count = var.collector == null ? 0 : 1

  name              = "/${var.prefix}/metrics"
  retention_in_days = 1
}

locals {
  services = toset(["functions", "sfu"])
  collector = {
    for service in local.services : service => var.collector == null ? null : {
      image          = coalesce(var.collector.uri, "${aws_ecr_repository.collector[0].repository_url}:${coalesce(var.collector.tag, "-")}")
      repository_arn = aws_ecr_repository.collector[0].arn
      log_group_arn  = aws_cloudwatch_log_group.metrics[0].arn
      workspace_arn  = one(aws_prometheus_workspace.this[*].arn)
      configurations = [
        for name in concat([service], var.prometheus == null ? [] : ["${service}-prometheus"]) :
        file("${var.collector.folder}/${name}.yaml")
      ]
      environment = merge(
        { HEADRACE_NAMESPACE = var.prefix, AWS_REGION = data.aws_region.current.name },
        var.prometheus == null ? {} : {
          HEADRACE_REMOTE_WRITE_URL = "${aws_prometheus_workspace.this[0].prometheus_endpoint}api/v1/remote_write"
        },
      )
    }
  }
}
