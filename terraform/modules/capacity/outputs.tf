output "worker_capacity_pps" {
  description = "Packets per second that a worker may carry at the planned utilisation: HEADRACE_SFU_CAPACITY_PPS."
  value       = local.worker_pps
}

output "capacity" {
  description = "What the audience needs."
  value = {
    viewers                   = var.audience.viewers
    packets_per_viewer_second = local.viewer_pps
    packets_second            = local.packets_second
    packets_per_core_second   = local.worker_pps
    cores                     = local.cores
    hosts                     = local.hosts
    deliveries_second         = local.deliveries_second
    deliveries_per_cpu_second = local.deliveries_per_cpu_second
    signaling_tasks           = local.signaling_tasks
    egress_gb_hour            = local.egress_gb_hour
  }
}

output "cost" {
  description = "Money: per hour by part and in all, per month of 730 hours while nobody watches, and per viewer and hour."
  value = {
    hour            = local.cost_hour
    total_hour      = local.total_hour
    idle_month      = local.idle_hour * 730
    per_viewer_hour = local.total_hour / var.audience.viewers
  }
}
