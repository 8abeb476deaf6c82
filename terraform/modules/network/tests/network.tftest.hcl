mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["xx-test-1a", "xx-test-1b", "xx-test-1c"] }
  }
  mock_data "aws_region" {
    defaults = { name = "xx-test-1" }
  }
}

variables {
  prefix = "test"
}

run "two_zones_have_a_public_and_a_private_subnet_each" {
  command = plan

  assert {
    condition     = length(aws_subnet.public) == 2 && length(aws_subnet.private) == 2
    error_message = "Two zones are the least that a load balancer takes."
  }
  assert {
    condition     = length(distinct(concat([for s in aws_subnet.public : s.cidr_block], [for s in aws_subnet.private : s.cidr_block]))) == 4
    error_message = "Subnets share addresses."
  }
  assert {
    condition     = alltrue([for s in aws_subnet.public : !s.map_public_ip_on_launch])
    error_message = "A public address is asked for, never given by default."
  }
}

run "four_services_are_cheaper_by_endpoints" {
  command = plan

  assert {
    condition     = output.egress.way == "endpoints" && length(aws_vpc_endpoint.interface) == 4 && length(aws_nat_gateway.this) == 0
    error_message = "Four endpoints cost 0.04 an hour and zone, a NAT gateway 0.045."
  }
}

run "many_services_are_cheaper_by_nat" {
  command = plan

  variables {
    endpoint_services = ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "monitoring", "aps-workspaces"]
  }

  assert {
    condition     = output.egress.way == "nat" && length(aws_vpc_endpoint.interface) == 0 && length(aws_nat_gateway.this) == 2
    error_message = "Six endpoints cost 0.06 an hour and zone, a NAT gateway 0.045."
  }
}

run "a_database_elsewhere_needs_nat_and_one_is_enough_without_redundancy" {
  command = plan

  variables {
    network = { internet = true, redundant = false }
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 2
    error_message = "Both private subnets go out through the one gateway."
  }
}

run "flow_logs_are_off_until_asked_for" {
  command = plan

  assert {
    condition     = length(aws_flow_log.this) == 0
    error_message = "Flow logs cost money."
  }
}

run "flow_logs_may_write_to_their_own_group_only" {
  command = plan

  variables {
    network = { flow_log_days = 14 }
  }

  assert {
    condition     = length(aws_flow_log.this) == 1 && aws_cloudwatch_log_group.flow[0].retention_in_days == 14
    error_message = "Flow logs are kept as long as asked for."
  }
}

run "endpoints_alone_do_not_reach_the_internet" {
  command = plan

  variables {
    network = { internet = true, egress = "endpoints" }
  }

  expect_failures = [var.network]
}

run "a_network_that_is_too_small_is_refused" {
  command = plan

  variables {
    network = { cidr = "10.0.0.0/24" }
  }

  expect_failures = [var.network]
}

run "a_prefix_that_no_name_could_begin_with_is_refused" {
  command = plan

  variables {
    prefix = "Test_"
  }

  expect_failures = [var.prefix]
}
