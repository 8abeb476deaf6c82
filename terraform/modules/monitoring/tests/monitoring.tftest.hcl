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
