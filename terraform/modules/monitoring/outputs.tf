output "log_group_names" {
  description = "Log group by service: api, signaling, web, sfu."
  value       = { for name, group in aws_cloudwatch_log_group.this : name => group.name }
}

output "topic_arns" {
  description = "Where alarms go, page and ticket; further subscriptions are yours."
  value       = { for severity, topic in aws_sns_topic.alarms : severity => topic.arn }
}

output "collector" {
  description = "By service, functions and sfu: what the modules of that name take as `collector`, or null."
  value       = local.collector
}

output "collector_repository_url" {
  description = "Where the collector's image is pushed to, or null."
  value       = one(aws_ecr_repository.collector[*].repository_url)
}

output "prometheus_endpoint" {
  description = "Of the Prometheus workspace, for Grafana's data source; or null."
  value       = one(aws_prometheus_workspace.this[*].prometheus_endpoint)
}

output "alarms" {
  description = "Names of the alarms."
  value = sort(concat(
    [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name],
    local.composite_names,
  ))
}

output "dashboards" {
  description = "Names of the dashboards."
  value       = sort([for dashboard in aws_cloudwatch_dashboard.this : dashboard.dashboard_name])
}

output "cost_month" {
  description = "What it costs a month, about and without logs: metrics, dashboards, alarms, Prometheus."
  value       = local.cost_month
}
