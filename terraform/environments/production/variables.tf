variable "region" {
  description = "AWS region."
  type        = string
}

variable "prefix" {
  description = "Start of every name; with another one, a second copy lives in the same account."
  type        = string
  default     = "headrace"
}

variable "domain" {
  description = "The platform's host name, and the Route 53 zone that it is in."
  type        = object({ name = string, zone_id = string })
}

variable "images" {
  description = "Tags that the three images were pushed with."
  type        = object({ functions = string, sfu = string, collector = string })
}

variable "jwt_keys" {
  description = "JWK set that signs tokens (docs/identity.md, Signing keys). Give it as TF_VAR_jwt_keys, never in a file."
  type        = string
  sensitive   = true
}

variable "mongodb_uri" {
  description = "A MongoDB replica set of yours instead of DocumentDB, as TF_VAR_mongodb_uri."
  type        = string
  default     = null
  sensitive   = true
}

variable "hosts" {
  description = "SFU hosts: type, least and most, share on spot, as in modules/sfu-fleet."
  type = object({
    type         = optional(string, "c7a.large")
    least        = optional(number, 2)
    most         = optional(number, 20)
    ami          = optional(string)
    spot_percent = optional(number, 0)
  })
  default = {}
}

variable "tasks" {
  description = "Function tasks, least and most, by service."
  type        = map(object({ least = number, most = number }))
  default = {
    api       = { least = 2, most = 10 }
    signaling = { least = 2, most = 20 }
    web       = { least = 2, most = 4 }
  }
}

variable "alarm_emails" {
  description = "Who is told."
  type        = set(string)
  default     = []
}

variable "audience" {
  description = "What the outputs capacity and cost are computed for, as in modules/capacity."
  type = object({
    viewers             = optional(number, 1000)
    video_bitrate       = optional(number, 2500000)
    messages_per_second = optional(number, 10)
  })
  default = {}
}

variable "prices" {
  description = "Money per hour, per GB of egress, per month of CloudWatch, per million samples of Prometheus; meant as list prices in us-east-1 in USD. Check them before you plan by them."
  type = object({
    sfu_host_hour      = optional(number, 0.10264)
    address_hour       = optional(number, 0.005)
    fargate_vcpu_hour  = optional(number, 0.04048)
    fargate_gb_hour    = optional(number, 0.004445)
    load_balancer_hour = optional(number, 0.0225)
    lcu_hour           = optional(number, 0.008)
    egress_gb          = optional(number, 0.09)
    endpoint_hour      = optional(number, 0.01)
    nat_hour           = optional(number, 0.045)
    valkey_node_hour   = optional(number, 0.1064)
    cache_node_hour    = optional(number, 0.0256)
    documentdb_hour    = optional(number, 0.277)
    metric_month       = optional(number, 0.30)
    dashboard_month    = optional(number, 3)
    alarm_month        = optional(number, 0.10)
    million_samples    = optional(number, 0.09)
  })
  default = {}
}
