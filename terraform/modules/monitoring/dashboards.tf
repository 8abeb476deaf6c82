resource "aws_cloudwatch_dashboard" "this" {
  for_each = local.dashboards

  dashboard_name = "${var.prefix}-${each.key}"
  dashboard_body = each.value
}
