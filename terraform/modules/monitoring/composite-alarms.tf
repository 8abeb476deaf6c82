# An alarm has one period: several windows are several alarms, and one on top of them.
resource "aws_cloudwatch_composite_alarm" "this" {
  for_each = local.composites

  alarm_name        = "${var.prefix}-${each.key}"
  alarm_description = each.value.description
  alarm_rule        = each.value.rule
  alarm_actions     = local.told[each.key]
  ok_actions        = local.told[each.key]

  depends_on = [aws_cloudwatch_metric_alarm.this]
}

locals {
  # What the rest of the module knows of them.
  composite_names = [for alarm in aws_cloudwatch_composite_alarm.this : alarm.alarm_name]
}
