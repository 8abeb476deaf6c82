# Three zones, every part twice or more, and what must not be lost by accident refuses to be destroyed.

module "network" {
  source = "../../modules/network"

  prefix = var.prefix
  network = {
    zones         = 3
    redundant     = true
    internet      = nonsensitive(var.mongodb_uri != null)
    flow_log_days = 14
  }
  # The last one for the collectors' way to Prometheus.
  endpoint_services = ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "aps-workspaces"]
  prices            = { endpoint_hour = var.prices.endpoint_hour, nat_hour = var.prices.nat_hour }
}

module "state" {
  source = "../../modules/state"

  prefix      = var.prefix
  network     = module.network.network
  room_log    = { node_type = "cache.m7g.large", replicas = 2, snapshot_days = 7 }
  cache       = { node_type = "cache.t4g.small", replicas = 1 }
  documentdb  = { instance_class = "db.r6g.large", instances = 3, backup_days = 7 }
  mongodb_uri = var.mongodb_uri
  jwt_keys    = var.jwt_keys
  protect     = true
}

module "functions" {
  source    = "../../modules/functions"
  providers = { aws = aws, aws.us_east_1 = aws.us_east_1 }

  prefix  = var.prefix
  network = module.network.network
  domain  = var.domain
  image   = { tag = var.images.functions }
  state = {
    client_security_group_id = module.state.client_security_group_id
    secret                   = module.state.secrets.functions
  }
  services = {
    api       = { functions = ["api", "archive"], tasks = var.tasks["api"] }
    signaling = { functions = ["signaling"], tasks = var.tasks["signaling"], connections_per_task = 5000 }
    web       = { functions = ["web"], cpu = 256, memory = 512, tasks = var.tasks["web"] }
  }
  cdn             = { price_class = "PriceClass_All" }
  log_group_names = module.monitoring.log_group_names
  collector       = module.monitoring.collector["functions"]
  protect         = true
}

module "sfu_fleet" {
  source = "../../modules/sfu-fleet"

  prefix  = var.prefix
  network = module.network.network
  image   = { tag = var.images.sfu }
  state = {
    client_security_group_id = module.state.client_security_group_id
    secret                   = module.state.secrets.sfu
  }
  control_security_group_id = module.functions.security_group_id
  hosts                     = var.hosts
  worker                    = { capacity_pps = module.capacity.worker_capacity_pps }
  drain                     = { worker = 30, host = 90, hook = 180 }
  log_group_name            = module.monitoring.log_group_names["sfu"]
  collector                 = module.monitoring.collector["sfu"]
  protect                   = true
}

module "monitoring" {
  source = "../../modules/monitoring"

  prefix   = var.prefix
  emails   = var.alarm_emails
  log_days = 90
  folder   = "${path.module}/../../../dashboards/cloudwatch"
  collector = {
    tag    = var.images.collector
    folder = "${path.module}/../../../dashboards/collector"
  }
  prometheus = { rules = "${path.module}/../../../dashboards/alerts/rules.yml" }
  values     = merge(module.functions.names.values, module.sfu_fleet.names.values, module.state.names.values)
  prices     = { for name in ["metric_month", "dashboard_month", "alarm_month", "million_samples"] : name => var.prices[name] }
  processes = {
    functions = sum([for tasks in values(var.tasks) : tasks.least])
    sfu       = var.hosts.least * module.sfu_fleet.workers_per_host
  }
}

module "capacity" {
  source = "../../modules/capacity"

  audience = var.audience
  fleet = {
    cores_per_host = module.sfu_fleet.workers_per_host
    least_hosts    = var.hosts.least
    least_tasks    = var.tasks["signaling"].least
  }
  prices = { for name in ["sfu_host_hour", "address_hour", "fargate_vcpu_hour", "fargate_gb_hour", "lcu_hour", "egress_gb"] : name => var.prices[name] }
  fixed = {
    ways_out      = module.network.egress.cost_hour[module.network.egress.way]
    load_balancer = var.prices.load_balancer_hour + 3 * var.prices.address_hour
    api           = var.tasks["api"].least * (var.prices.fargate_vcpu_hour + 2 * var.prices.fargate_gb_hour)
    web           = var.tasks["web"].least * (0.25 * var.prices.fargate_vcpu_hour + 0.5 * var.prices.fargate_gb_hour)
    valkey        = 3 * var.prices.valkey_node_hour + 2 * var.prices.cache_node_hour
    monitoring    = sum(values(module.monitoring.cost_month)) / 730
    documentdb    = module.state.names.documentdb == null ? 0 : 3 * var.prices.documentdb_hour
  }
}
