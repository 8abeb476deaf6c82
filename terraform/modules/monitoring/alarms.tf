locals {
  # Whom an alarm tells: nobody where it is a part of a composite one.
  told = {
    for name, alarm in merge(local.alarms, local.composites) : name =>
    alarm.severity == null ? [] : [aws_sns_topic.alarms[alarm.severity].arn]
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = each.value.description
  comparison_operator = "${each.value.compare}Threshold"
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.breaching
  treat_missing_data  = each.value.missing
  alarm_actions       = local.told[each.key]
  ok_actions          = local.told[each.key]

  namespace          = each.value.namespace
  metric_name        = each.value.metric
  period             = each.value.metric == null ? null : each.value.period_s
  statistic          = each.value.percentile == null && each.value.metric != null ? coalesce(each.value.statistic, "Average") : null
  extended_statistic = each.value.percentile
  dimensions         = each.value.metric == null ? null : each.value.dimensions

  dynamic "metric_query" {
    for_each = each.value.queries

    content {
      id          = metric_query.key
      expression  = metric_query.value.expression
      label       = metric_query.value.label
      return_data = metric_query.value.returns

      dynamic "metric" {
        for_each = metric_query.value.metric == null ? [] : [metric_query.value]

        content {
          namespace   = metric.value.namespace
          metric_name = metric.value.metric
          period      = each.value.period_s
          stat        = coalesce(metric.value.statistic, "Average")
          dimensions  = metric.value.dimensions
        }
      }
    }
  }
}
