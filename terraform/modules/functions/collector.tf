# A container beside the function: it reads the metrics' port, which nobody outside of the task reaches.
locals {
  metrics_port     = 9464
  collector_cpu    = var.collector == null ? 0 : 32
  collector_memory = var.collector == null ? 0 : 192

  collector_variables = var.collector == null ? {} : {
    for index, text in var.collector.configurations : "HEADRACE_COLLECTOR_${index}" => text
  }
  collector_containers = var.collector == null ? [] : [{
    name                   = "collector"
    image                  = var.collector.image
    cpu                    = local.collector_cpu
    memory                 = local.collector_memory
    command                = [for name in sort(keys(local.collector_variables)) : "--config=env:${name}"]
    essential              = false # a function without metrics is better than none
    readonlyRootFilesystem = true
    restartPolicy          = { enabled = true }
    environment = [
      for name, value in merge(var.collector.environment, local.collector_variables, {
        HEADRACE_METRICS_TARGETS = jsonencode(["127.0.0.1:${local.metrics_port}"])
      }) : { name = name, value = value }
    ]
    mountPoints    = []
    portMappings   = []
    systemControls = []
    volumesFrom    = []
  }]
}
