resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["api", "signaling", "web", "sfu"])

  name              = "/${var.prefix}/${each.key}"
  retention_in_days = var.log_days
}
