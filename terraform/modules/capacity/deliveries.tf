# Frames are the cost of messaging, and a busy room's messages share them: the measured cost of a delivery falls with
# the rate. That of the next lower measured rate is on the safe side.
locals {
  points = [
    for point in local.signaling : point.value
    if point.published_per_second <= max(var.audience.messages_per_second, local.signaling[0].published_per_second)
  ]
  deliveries_per_cpu_second = local.points[length(local.points) - 1]
  deliveries_second         = var.audience.viewers * var.audience.messages_per_second
  signaling_cores           = local.deliveries_second / (local.deliveries_per_cpu_second * var.fleet.utilisation)
  signaling_tasks = max(
    var.fleet.least_tasks,
    ceil(local.signaling_cores / var.fleet.task_vcpu),
    ceil(var.audience.viewers / var.fleet.sockets_per_task),
  )
}
