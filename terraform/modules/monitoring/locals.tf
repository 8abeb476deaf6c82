locals {
  values = merge(var.values, {
    prefix    = var.prefix
    region    = data.aws_region.current.name
    account   = data.aws_caller_identity.current.account_id
    partition = data.aws_partition.current.partition
  })
  files = var.folder == null ? [] : fileset(var.folder, "*.json")

  dashboards = merge(
    {
      for file in local.files : trimsuffix(file, ".json") => templatefile("${var.folder}/${file}", local.values)
      if file != "alarms.json"
    },
    var.dashboards,
  )

  # Not as a template: which alarms there are must be known before the parts that they look at are made. Prefix and region
  # are known and may stand anywhere; any other placeholder stands for a whole dimension or threshold.
  placeholders = { for name, value in local.values : "$${${name}}" => value }
  alarms_text  = contains(local.files, "alarms.json") ? file("${var.folder}/alarms.json") : "{}"
  given = jsondecode(
    replace(replace(local.alarms_text, "$${prefix}", var.prefix), "$${region}", data.aws_region.current.name)
  )

  composites = {
    for name, alarm in local.given : name => { description = alarm.description, severity = alarm.severity, rule = alarm.rule }
    if can(alarm.rule)
  }

  # What a file leaves out is as in the variable.
  alarms = merge(
    {
      for name, alarm in local.given : name => {
        description = alarm.description
        severity    = try(alarm.severity, "page")
        threshold   = tonumber(lookup(local.placeholders, alarm.threshold, alarm.threshold))
        compare     = try(alarm.compare, "GreaterThan")
        period_s    = try(alarm.period_s, 60)
        periods     = try(alarm.periods, 1)
        breaching   = try(alarm.breaching, null)
        missing     = try(alarm.missing, "notBreaching")
        namespace   = try(alarm.namespace, null)
        metric      = try(alarm.metric, null)
        statistic   = try(alarm.statistic, null)
        percentile  = try(alarm.percentile, null)
        dimensions  = { for key, value in try(alarm.dimensions, {}) : key => lookup(local.placeholders, value, value) }
        queries = {
          for id, query in try(alarm.queries, {}) : id => {
            expression = try(query.expression, null)
            label      = try(query.label, null)
            returns    = try(query.returns, false)
            namespace  = try(query.namespace, null)
            metric     = try(query.metric, null)
            statistic  = try(query.statistic, null)
            dimensions = { for key, value in try(query.dimensions, {}) : key => lookup(local.placeholders, value, value) }
          }
        }
      }
      if !can(alarm.rule)
    },
    var.alarms,
  )
}

data "aws_region" "current" {}
