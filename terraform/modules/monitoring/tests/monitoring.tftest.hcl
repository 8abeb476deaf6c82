mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "xx-test-1" }
  }
}

variables {
  prefix = "test"
}

run "without_definitions_there_are_logs_and_a_topic" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_log_group.this) == 4 && length(aws_cloudwatch_metric_alarm.this) == 0
    error_message = "Logs and topic do not depend on alarms."
  }
}

run "a_folder_gives_alarms_and_dashboards_with_names_filled_in" {
  command = plan

  variables {
    folder = "./tests/definitions"
    values = { load_balancer = "app/test/1" }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["errors"].dimensions["LoadBalancer"] == "app/test/1" && aws_cloudwatch_metric_alarm.this["errors"].statistic == "Sum"
    error_message = "alarms.json was not taken as it is."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this["error-rate"].metric_query) == 4
    error_message = "An alarm on an expression has its queries."
  }
  assert {
    condition     = contains(flatten([for query in aws_cloudwatch_metric_alarm.this["error-rate"].metric_query : query.metric[*].namespace]), "test")
    error_message = "Our own metrics are in the namespace of the prefix."
  }
  assert {
    condition     = keys(aws_cloudwatch_dashboard.this) == ["overview"] && strcontains(aws_cloudwatch_dashboard.this["overview"].dashboard_body, "xx-test-1")
    error_message = "The dashboard was not taken as it is."
  }
}

run "a_folder_that_is_empty_or_missing_is_fine" {
  command = plan

  variables {
    folder = "./tests/nothing"
  }

  assert {
    condition     = length(aws_cloudwatch_dashboard.this) == 0
    error_message = "There was nothing to read."
  }
}

run "an_alarm_without_anything_to_look_at_is_refused" {
  command = plan

  variables {
    alarms = { nothing = { description = "looks at nothing", threshold = 1 } }
  }

  expect_failures = [var.alarms]
}

run "alarms_of_several_windows_stand_on_others_that_tell_nobody" {
  command = plan

  variables {
    folder = "../../../dashboards/cloudwatch"
    values = { load_balancer = "app/test/1" }
    emails = ["operators@example.org"]
  }

  assert {
    condition     = keys(aws_cloudwatch_composite_alarm.this) == ["error-budget-burns-fast", "error-budget-burns-slowly"]
    error_message = "A burn rate is looked at over a long window and a short one."
  }
  assert {
    condition     = alltrue([for name in ["error-budget-burns-fast-14.4x-1h", "error-budget-burns-fast-14.4x-5m"] : length(aws_cloudwatch_metric_alarm.this[name].alarm_actions) == 0])
    error_message = "A part of an alarm would wake somebody."
  }
  assert {
    condition     = keys(aws_sns_topic.alarms) == ["page", "ticket"] && length(aws_sns_topic_subscription.email) == 2
    error_message = "What can wait goes where what cannot goes."
  }
}

run "collectors_are_given_all_that_their_configurations_ask_for" {
  command = plan

  variables {
    collector  = { uri = "registry.example/collector@sha256:00", folder = "../../../dashboards/collector" }
    prometheus = { rules = "../../../dashboards/alerts/rules.yml" }
  }

  assert {
    condition     = length(output.collector["functions"].configurations) == 2 && output.collector["sfu"].image == "registry.example/collector@sha256:00"
    error_message = "With Prometheus there are two configurations."
  }
  assert {
    condition = alltrue(flatten([for service, given in output.collector : [
      for name in flatten(regexall("\\$\\{env:(\\w+)\\}", join("", given.configurations))) :
      contains(concat(keys(given.environment), ["HEADRACE_METRICS_TARGETS", "HEADRACE_PROCESS", "ECS_CONTAINER_METADATA_URI_V4"]), name)
    ]]))
    error_message = "A configuration asks for a variable that nobody gives."
  }
  assert {
    condition     = aws_cloudwatch_log_group.metrics[0].retention_in_days == 1 && length(aws_prometheus_rule_group_namespace.this) == 1
    error_message = "Metrics pass through a log that nobody reads; rules go to Prometheus."
  }
}

run "without_a_collector_nothing_of_it_is_made" {
  command = plan

  assert {
    condition     = length(aws_ecr_repository.collector) == 0 && length(aws_cloudwatch_log_group.metrics) == 0 && output.collector["sfu"] == null
    error_message = "Something is made that nobody uses."
  }
}

run "prometheus_without_a_collector_is_refused" {
  command = plan

  variables {
    prometheus = {}
  }

  expect_failures = [var.prometheus]
}
