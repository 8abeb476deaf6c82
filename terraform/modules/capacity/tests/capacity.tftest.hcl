run "a_thousand_viewers_at_two_and_a_half_megabits" {
  command = plan

  assert {
    condition     = output.capacity.packets_per_viewer_second == 343 && output.capacity.packets_second == 343000
    error_message = "The benchmark's viewer gets 293 packets of video and 50 of sound a second."
  }
  assert {
    condition     = output.capacity.cores == 2 && output.capacity.hosts == 1
    error_message = "At 60 % of a core's measured packets, a thousand viewers take two."
  }
}

run "ten_times_the_viewers_take_ten_times_the_packets" {
  command = plan

  variables {
    audience = { viewers = 10000 }
  }

  assert {
    condition     = output.capacity.packets_second == 3430000 && output.capacity.cores == 17 && output.capacity.hosts == 9
    error_message = "3.43 M packets a second, over 60 % of what a core sent."
  }
}

run "a_quiet_rooms_delivery_costs_more_than_a_busy_ones" {
  command = plan

  variables {
    audience = { viewers = 1000, messages_per_second = 1000 }
  }

  assert {
    condition     = output.capacity.deliveries_second == 1000000 && output.capacity.deliveries_per_cpu_second > 62500
    error_message = "Frames are shared at a high rate."
  }
}

run "what_nobody_watches_costs_the_fixed_part" {
  command = plan

  variables {
    fixed  = { load_balancer = 0.1, database = 0.2 }
    fleet  = { least_hosts = 2, least_tasks = 0 }
    prices = { sfu_host_hour = 0.04, address_hour = 0.01 }
  }

  assert {
    condition     = abs(output.cost.idle_month - 292) < 0.001
    error_message = "0.3 an hour and two hosts at 0.05, for 730 hours."
  }
}

run "money_per_viewer_is_the_sum_of_the_parts" {
  command = plan

  variables {
    prices = { sfu_host_hour = 1, address_hour = 0, fargate_vcpu_hour = 1, fargate_gb_hour = 0, lcu_hour = 0, egress_gb = 0 }
  }

  assert {
    condition     = abs(output.cost.per_viewer_hour - 2 / 1000) < 0.000001
    error_message = "One host and one task at 1 each, over a thousand viewers."
  }
}
