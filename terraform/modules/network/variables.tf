variable "prefix" {
  description = "Start of every name; with it, several copies live in one account."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.prefix))
    error_message = "The prefix has 3 to 20 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "network" {
  description = <<-EOT
    cidr          addresses of the VPC; a /16 to /20
    zones         availability zones to spread over
    redundant     ways out of the private subnets in every zone, not in one only
    egress        "endpoints" (AWS services only), "nat" (everything), or "auto": the cheaper one that suffices
    internet      whether private subnets need more than AWS services, as for a MongoDB elsewhere; implies NAT
    flow_log_days days that flow logs are kept; 0 turns them off
  EOT
  type = object({
    cidr          = optional(string, "10.20.0.0/16")
    zones         = optional(number, 2)
    redundant     = optional(bool, true)
    egress        = optional(string, "auto")
    internet      = optional(bool, false)
    flow_log_days = optional(number, 0)
  })
  default = {}

  validation {
    condition     = can(cidrhost(var.network.cidr, 0)) && try(tonumber(split("/", var.network.cidr)[1]), 0) >= 16 && try(tonumber(split("/", var.network.cidr)[1]), 32) <= 20
    error_message = "network.cidr is an IPv4 network from /16 to /20, as 10.20.0.0/16."
  }
  validation {
    condition     = contains([2, 3], var.network.zones)
    error_message = "network.zones is 2 or 3: a load balancer needs two."
  }
  validation {
    condition     = contains(["auto", "endpoints", "nat"], var.network.egress)
    error_message = "network.egress is auto, endpoints or nat."
  }
  validation {
    condition     = !(var.network.internet && var.network.egress == "endpoints")
    error_message = "network.internet needs NAT: set network.egress to auto or nat."
  }
  validation {
    condition     = contains([0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365], var.network.flow_log_days)
    error_message = "network.flow_log_days is 0 or a retention that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365."
  }
}

variable "endpoint_services" {
  description = "AWS services that private subnets call, as in com.amazonaws.REGION.SERVICE; S3 has a free endpoint in any case."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "logs", "secretsmanager"]
}

variable "prices" {
  description = "Money per hour of one interface endpoint in one zone and of one NAT gateway; \"auto\" compares them."
  type = object({
    endpoint_hour = optional(number, 0.01)
    nat_hour      = optional(number, 0.045)
  })
  default = {}

  validation {
    condition     = var.prices.endpoint_hour >= 0 && var.prices.nat_hour >= 0
    error_message = "Prices are not negative."
  }
}
