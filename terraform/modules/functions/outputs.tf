output "url" {
  description = "Where the platform is."
  value       = "https://${var.domain.name}"
}

output "repository_url" {
  description = "Where the image is pushed to."
  value       = aws_ecr_repository.this.repository_url
}

output "security_group_id" {
  description = "Group of the tasks, which call the SFU workers' control ports."
  value       = aws_security_group.tasks.id
}

output "names" {
  description = "What the console calls these parts, and `values` for the templates of alarms and dashboards."
  value = {
    cluster       = aws_ecs_cluster.this.name
    services      = sort([for service in aws_ecs_service.this : service.name])
    load_balancer = aws_lb.this.name
    distribution  = one(aws_cloudfront_distribution.this[*].id)
    values = merge(
      { cluster = aws_ecs_cluster.this.name, load_balancer = aws_lb.this.arn_suffix },
      { for name, group in aws_lb_target_group.this : "target_${name}" => group.arn_suffix },
      { for name, service in var.services : "tasks_${name}" => tostring(service.tasks.most) },
    )
  }
}
