# Small, in two zones because a load balancer needs them, with nothing that refuses to be destroyed.

module "network" {
  source = "../../modules/network"

  prefix = var.prefix
  network = {
    zones     = 2
    redundant = false
    internet  = nonsensitive(var.mongodb_uri != null)
  }
  prices = { endpoint_hour = var.prices.endpoint_hour, nat_hour = var.prices.nat_hour }
}

module "state" {
  source = "../../modules/state"

  prefix      = var.prefix
  network     = module.network.network
  room_log    = { node_type = "cache.t4g.micro", replicas = 0, snapshot_days = 0 }
  cache       = { node_type = "cache.t4g.micro" }
  documentdb  = { instance_class = "db.t4g.medium", instances = 1 }
  mongodb_uri = var.mongodb_uri
  jwt_keys    = var.jwt_keys
  protect     = false
}

module "functions" {
  source    = "../../modules/functions"
  providers = { aws = aws, aws.us_east_1 = aws.us_east_1 }

  prefix  = var.prefix
  network = module.network.network
  domain  = var.domain
  image   = { tag = var.images.functions, force_delete = true }
  state = {
    client_security_group_id = module.state.client_security_group_id
    secret                   = module.state.secrets.functions
  }
  services = {
    api       = { functions = ["api", "archive"], cpu = 256, memory = 512, tasks = var.tasks["api"] }
    signaling = { functions = ["signaling"], cpu = 512, memory = 1024, tasks = var.tasks["signaling"], connections_per_task = 2000 }
    web       = { functions = ["web"], cpu = 256, memory = 512, tasks = var.tasks["web"] }
  }
  cdn             = {}
  log_group_names = module.monitoring.log_group_names
  collector       = module.monitoring.collector["functions"]
  protect         = false
}

module "sfu_fleet" {
  source = "../../modules/sfu-fleet"

  prefix  = var.prefix
  network = module.network.network
  image   = { tag = var.images.sfu, force_delete = true }
  state = {
    client_security_group_id = module.state.client_security_group_id
    secret                   = module.state.secrets.sfu
  }
  control_security_group_id = module.functions.security_group_id
  hosts                     = var.hosts
  worker                    = { capacity_pps = module.capacity.worker_capacity_pps }
  drain                     = { worker = 10, host = 30, hook = 60 }
  log_group_name            = module.monitoring.log_group_names["sfu"]
  collector                 = module.monitoring.collector["sfu"]
  protect                   = false
}

module "monitoring" {
  source = "../../modules/monitoring"

  prefix   = var.prefix
  emails   = var.alarm_emails
  log_days = 7
  # Without a collector there is nothing to look at, and alarms would say that all is gone.
  folder = var.images.collector == null ? null : "${path.module}/../../../dashboards/cloudwatch"
  collector = var.images.collector == null ? null : {
    tag          = var.images.collector
    folder       = "${path.module}/../../../dashboards/collector"
    force_delete = true
  }
  values = merge(module.functions.names.values, module.sfu_fleet.names.values, module.state.names.values)
  prices = { for name in ["metric_month", "dashboard_month", "alarm_month", "million_samples"] : name => var.prices[name] }
  processes = {
    functions = sum([for tasks in values(var.tasks) : tasks.least])
    sfu       = var.hosts.least * module.sfu_fleet.workers_per_host
  }
}

module "capacity" {
  source = "../../modules/capacity"

  audience = var.audience
  fleet = {
    cores_per_host   = module.sfu_fleet.workers_per_host
    least_hosts      = var.hosts.least
    least_tasks      = var.tasks["signaling"].least
    sockets_per_task = 2000
    task_vcpu        = 0.5
    task_gb          = 1
  }
  prices = { for name in ["sfu_host_hour", "address_hour", "fargate_vcpu_hour", "fargate_gb_hour", "lcu_hour", "egress_gb"] : name => var.prices[name] }
  fixed = {
    ways_out      = module.network.egress.cost_hour[module.network.egress.way]
    load_balancer = var.prices.load_balancer_hour + 2 * var.prices.address_hour
    api_and_web   = (var.tasks["api"].least + var.tasks["web"].least) * (0.25 * var.prices.fargate_vcpu_hour + 0.5 * var.prices.fargate_gb_hour)
    valkey        = var.prices.valkey_node_hour + var.prices.cache_node_hour
    monitoring    = sum(values(module.monitoring.cost_month)) / 730
    documentdb    = module.state.names.documentdb == null ? 0 : var.prices.documentdb_hour
  }
}
