output "repository_url" {
  description = "Where the image is pushed to."
  value       = aws_ecr_repository.this.repository_url
}

output "user_data" {
  description = "cloud-init configuration of a host."
  value       = local.user_data
}

output "workers_per_host" {
  description = "Cores of a host, which is the number of its workers."
  value       = local.cores
}

output "names" {
  description = "What the console calls these parts, and `values` for the templates of alarms and dashboards."
  value = {
    group = aws_autoscaling_group.hosts.name
    values = {
      sfu_group        = aws_autoscaling_group.hosts.name
      sfu_capacity_pps = tostring(var.worker.capacity_pps)
      sfu_workers      = tostring(local.cores)
    }
  }
}
