resource "aws_prometheus_workspace" "this" {
  count = var.prometheus == null ? 0 : 1

  alias = var.prefix
}

# What Grafana shows as alerts; people are told by CloudWatch's alarms.
resource "aws_prometheus_rule_group_namespace" "this" {
  count = try(var.prometheus.rules, null) == null ? 0 : 1

  name         = "${var.prefix}-rules"
  workspace_id = aws_prometheus_workspace.this[0].id
  data         = file(var.prometheus.rules)
}
