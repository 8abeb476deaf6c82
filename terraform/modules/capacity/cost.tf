locals {
  host_hour = var.prices.sfu_host_hour + var.prices.address_hour
  task_hour = var.fleet.task_vcpu * var.prices.fargate_vcpu_hour + var.fleet.task_gb * var.prices.fargate_gb_hour

  cost_hour = merge(
    { for name, price in var.fixed : name => price },
    {
      sfu_hosts = local.hosts * local.host_hour
      signaling = local.signaling_tasks * local.task_hour
      # A unit carries 3,000 connections.
      load_balancer_units = ceil(var.audience.viewers / 3000) * var.prices.lcu_hour
      egress              = local.egress_gb_hour * var.prices.egress_gb
    },
  )
  total_hour = sum(values(local.cost_hour))
  idle_hour  = sum(concat(values(var.fixed), [var.fleet.least_hosts * local.host_hour, var.fleet.least_tasks * local.task_hour]))
}
