output "log_group_names" {
  description = "Log group by service: api, signaling, web, sfu."
  value       = { for name, group in aws_cloudwatch_log_group.this : name => group.name }
}

output "topic_arn" {
  description = "Where alarms go; further subscriptions are yours."
  value       = aws_sns_topic.alarms.arn
}

output "alarms" {
  description = "Names of the alarms."
  value       = sort([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name])
}

output "dashboards" {
  description = "Names of the dashboards."
  value       = sort([for dashboard in aws_cloudwatch_dashboard.this : dashboard.dashboard_name])
}
