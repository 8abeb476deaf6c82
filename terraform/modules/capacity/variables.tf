variable "audience" {
  description = <<-EOT
    viewers             at the same time, in all rooms
    video_bitrate       bit/s that a viewer gets, video alone; sound is added
    messages_per_second published in a viewer's room; each goes to every viewer
  EOT
  type = object({
    viewers             = optional(number, 1000)
    video_bitrate       = optional(number, 2500000)
    messages_per_second = optional(number, 10)
  })
  default = {}

  validation {
    condition     = var.audience.viewers >= 1 && var.audience.video_bitrate >= 0 && var.audience.messages_per_second >= 0
    error_message = "viewers is at least 1; video_bitrate and messages_per_second are not negative."
  }
}

variable "fleet" {
  description = <<-EOT
    cores_per_host   of an SFU host
    least_hosts      that run whether anybody watches or not
    least_tasks      the same of signaling
    utilisation      share of a core that is planned for; what was measured is a whole core's
    sockets_per_task room sockets that a signaling task holds
    task_vcpu        and
    task_gb          of a signaling task
  EOT
  type = object({
    cores_per_host   = optional(number, 2)
    least_hosts      = optional(number, 1)
    least_tasks      = optional(number, 1)
    utilisation      = optional(number, 0.6)
    sockets_per_task = optional(number, 5000)
    task_vcpu        = optional(number, 1)
    task_gb          = optional(number, 2)
  })
  default = {}

  validation {
    condition     = var.fleet.utilisation > 0 && var.fleet.utilisation <= 1
    error_message = "fleet.utilisation is above 0 and at most 1."
  }
}

variable "prices" {
  description = <<-EOT
    Money per hour of an SFU host, a public address, a vCPU and a GB of Fargate, and a load balancer's capacity unit; per
    GB sent to the Internet. The defaults are meant as list prices in us-east-1 in USD: check them before you plan by them.
  EOT
  type = object({
    sfu_host_hour     = optional(number, 0.10264)
    address_hour      = optional(number, 0.005)
    fargate_vcpu_hour = optional(number, 0.04048)
    fargate_gb_hour   = optional(number, 0.004445)
    lcu_hour          = optional(number, 0.008)
    egress_gb         = optional(number, 0.09)
  })
  default = {}

  validation {
    condition     = alltrue([for price in values(var.prices) : price >= 0])
    error_message = "Prices are not negative."
  }
}

variable "fixed" {
  description = "Money per hour of everything else that runs whether anybody watches or not, by name."
  type        = map(number)
  default     = {}
}
