locals {
  # About so many: dashboards/collector/size.json has what the collectors send.
  size = { for service in local.services : service => var.collector == null ? null : jsondecode(file("${var.collector.folder}/size.json"))[service] }
  metrics = sum(concat([0], [
    for service, size in local.size : size.metrics + size.metrics_per_process * var.processes[service] if size != null
  ]))
  series = var.prometheus == null ? 0 : sum([
    for service, size in local.size : size.series_per_process * var.processes[service] if size != null
  ])
  samples_month = local.series * 730 * 3600 / 15

  cost_month = {
    metrics    = local.metrics * var.prices.metric_month
    dashboards = length(local.dashboards) * var.prices.dashboard_month
    # One on an expression is charged by the metrics that it looks at.
    alarms     = sum(concat([length(local.composites)], [for alarm in local.alarms : max(1, length([for query in alarm.queries : query if query.metric != null]))])) * var.prices.alarm_month
    prometheus = local.samples_month / 1000000 * var.prices.million_samples
  }
}
