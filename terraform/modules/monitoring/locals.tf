locals {
  values = merge(var.values, { prefix = var.prefix, region = data.aws_region.current.name })
  files  = var.folder == null ? [] : fileset(var.folder, "*.json")

  dashboards = merge(
    {
      for file in local.files : trimsuffix(file, ".json") => templatefile("${var.folder}/${file}", local.values)
      if file != "alarms.json"
    },
    var.dashboards,
  )

  # What a file leaves out is null there; the same defaults as in the variable.
  given = contains(local.files, "alarms.json") ? jsondecode(templatefile("${var.folder}/alarms.json", local.values)) : {}
  alarms = merge(
    {
      for name, alarm in local.given : name => {
        description = alarm.description
        threshold   = alarm.threshold
        compare     = try(alarm.compare, "GreaterThan")
        period_s    = try(alarm.period_s, 60)
        periods     = try(alarm.periods, 1)
        breaching   = try(alarm.breaching, null)
        missing     = try(alarm.missing, "notBreaching")
        namespace   = try(alarm.namespace, null)
        metric      = try(alarm.metric, null)
        statistic   = try(alarm.statistic, null)
        percentile  = try(alarm.percentile, null)
        dimensions  = try(alarm.dimensions, {})
        queries = {
          for id, query in try(alarm.queries, {}) : id => {
            expression = try(query.expression, null)
            label      = try(query.label, null)
            returns    = try(query.returns, false)
            namespace  = try(query.namespace, null)
            metric     = try(query.metric, null)
            statistic  = try(query.statistic, null)
            dimensions = try(query.dimensions, {})
          }
        }
      }
    },
    var.alarms,
  )
}

data "aws_region" "current" {}
