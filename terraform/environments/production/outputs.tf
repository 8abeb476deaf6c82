output "url" {
  description = "Where the platform is."
  value       = module.functions.url
}

output "repositories" {
  description = "Where the images are pushed to."
  value = {
    functions = module.functions.repository_url
    sfu       = module.sfu_fleet.repository_url
    collector = module.monitoring.collector_repository_url
  }
}

output "prometheus" {
  description = "Endpoint of the Prometheus workspace, for Grafana's data source."
  value       = module.monitoring.prometheus_endpoint
}

output "capacity" {
  description = "What `audience` needs: viewers and bit rate to packets per second, cores, hosts, tasks, egress."
  value       = module.capacity.capacity
}

output "cost" {
  description = "What it costs: per hour by part, per month while nobody watches, per viewer and hour."
  value       = module.capacity.cost
}

output "names" {
  description = "What the parts are called in the console."
  value = {
    functions = module.functions.names
    sfu_fleet = module.sfu_fleet.names
    state     = module.state.names
    logs      = module.monitoring.log_group_names
    alarms    = module.monitoring.alarms
  }
}
