mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "xx-test-1" }
  }
  mock_data "aws_ec2_instance_type" {
    defaults = { default_vcpus = 4, supported_architectures = ["x86_64"] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_default_tags" {
    defaults = { tags = { project = "headrace" } }
  }
}

variables {
  prefix                    = "test"
  network                   = { vpc_id = "vpc-1", public_subnet_ids = ["subnet-1", "subnet-2"] }
  state                     = { client_security_group_id = "sg-1", secret = { arn = "arn:aws:secretsmanager:xx-test-1:1:secret:a" } }
  control_security_group_id = "sg-2"
  image                     = { uri = "registry.example/sfu@sha256:0000000000000000000000000000000000000000000000000000000000000000" }
  log_group_name            = "/test/sfu"
}

run "metadata_needs_a_session_token_that_stays_on_the_host" {
  command = plan

  assert {
    condition     = aws_launch_template.hosts.metadata_options[0].http_tokens == "required" && aws_launch_template.hosts.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "IMDSv1 is open."
  }
}

run "the_world_reaches_one_udp_port_per_worker_and_nothing_else" {
  command = plan

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.media) == ["udp"]
    error_message = "More than UDP is open."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.media["udp"].from_port == 40000 && aws_vpc_security_group_ingress_rule.media["udp"].to_port == 40003
    error_message = "Four cores are four workers are four ports."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.control.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.control.referenced_security_group_id == "sg-2"
    error_message = "Control ports are for functions."
  }
}

run "workers_feed_each_other_and_nobody_else_is_let_in_there" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.cascade_media.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.cascade_control.cidr_ipv4 == null
    error_message = "Ways between workers are open to the world."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.cascade_control.from_port == 7900 && aws_vpc_security_group_ingress_rule.cascade_control.to_port == 7903
    error_message = "Four workers have four control ports."
  }
}

run "disks_are_encrypted" {
  command = plan

  assert {
    condition     = aws_launch_template.hosts.block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "A disk is not encrypted."
  }
}

run "deadlines_hold_each_other" {
  command = plan

  assert {
    condition     = var.drain.worker < var.drain.host && var.drain.host < aws_autoscaling_lifecycle_hook.terminate.heartbeat_timeout
    error_message = "A host is ended before its workers have drained."
  }
  assert {
    condition     = aws_autoscaling_lifecycle_hook.terminate.default_result == "CONTINUE" && aws_autoscaling_lifecycle_hook.launch.default_result == "ABANDON"
    error_message = "A host that says nothing stays for ever, or goes into service."
  }
}

run "hosts_scale_on_the_packets_that_their_workers_may_carry" {
  command = plan

  variables {
    worker = { capacity_pps = 200000, scale_percent = 50 }
  }

  assert {
    condition     = aws_autoscaling_policy.packets.target_tracking_configuration[0].target_value == 200000 * 4 * 60 / 2
    error_message = "EC2 counts packets by the minute and host."
  }
}

run "a_new_host_is_there_before_an_old_one_goes" {
  command = plan

  assert {
    condition     = aws_autoscaling_group.hosts.instance_refresh[0].preferences[0].min_healthy_percentage == 100
    error_message = "A refresh takes capacity away."
  }
}

run "the_newest_image_of_hosts_is_looked_up_at_their_start" {
  command = plan

  assert {
    condition     = aws_launch_template.hosts.image_id == "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    error_message = "A plan would change with each release of the image."
  }
}

run "half_of_the_hosts_beyond_the_first_may_be_on_spot" {
  command = plan

  variables {
    hosts = { spot_percent = 50 }
  }

  assert {
    condition     = aws_autoscaling_group.hosts.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 50
    error_message = "Spot was asked for."
  }
}

run "a_host_that_outlives_its_hook_is_refused" {
  command = plan

  variables {
    drain = { worker = 30, host = 170, hook = 180 }
  }

  expect_failures = [var.drain]
}

run "a_spot_host_must_drain_within_its_notice" {
  command = plan

  variables {
    hosts = { spot_percent = 50 }
    drain = { worker = 30, host = 150, hook = 200 }
  }

  expect_failures = [var.drain]
}
