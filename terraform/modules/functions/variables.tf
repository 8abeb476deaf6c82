variable "prefix" {
  description = "Start of every name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.prefix))
    error_message = "The prefix has 3 to 20 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "network" {
  description = "Output `network` of the module network."
  type = object({
    vpc_id             = string
    cidr               = string
    public_subnet_ids  = list(string)
    private_subnet_ids = list(string)
  })
}

variable "state" {
  description = "Of the module state: the group that gives access, and the secret with the variables that tasks get from it."
  type = object({
    client_security_group_id = string
    secret                   = object({ arn = string, variables = list(string) })
  })
}

variable "domain" {
  description = "The platform's host name, and the Route 53 zone that it is in."
  type = object({
    name    = string
    zone_id = string
  })

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain.name))
    error_message = "domain.name is a host name, as live.example.org."
  }
}

variable "image" {
  description = <<-EOT
    tag          tag in the repository that this module makes, or
    uri          a whole image reference instead, as REGISTRY/NAME@sha256:...
    architecture X86_64 or ARM64, as it was built
    force_delete whether a destroy takes the repository's images with it
  EOT
  type = object({
    tag          = optional(string)
    uri          = optional(string)
    architecture = optional(string, "X86_64")
    force_delete = optional(bool, false)
  })

  validation {
    condition     = (var.image.tag == null) != (var.image.uri == null)
    error_message = "Give either image.tag or image.uri."
  }
  validation {
    condition     = try(!endswith(var.image.uri, ":latest"), true) && try(var.image.tag != "latest", true)
    error_message = "An image is named by what it is: latest is another one each day."
  }
  validation {
    condition     = contains(["X86_64", "ARM64"], var.image.architecture)
    error_message = "image.architecture is X86_64 or ARM64."
  }
}

variable "services" {
  description = <<-EOT
    The three services that run from the one image. Each of api, signaling and web:
    functions            what its processes do (HEADRACE_FUNCTIONS)
    cpu, memory          of a task, in CPU units (1024 is a core, and a process uses one) and MiB
    tasks                least and most
    cpu_percent          what autoscaling holds
    connections_per_task what autoscaling holds as well; null for no such policy
    spot_percent         share of tasks on Fargate Spot beyond the first
  EOT
  type = map(object({
    functions            = list(string)
    cpu                  = optional(number, 1024)
    memory               = optional(number, 2048)
    tasks                = optional(object({ least = optional(number, 2), most = optional(number, 10) }), {})
    cpu_percent          = optional(number, 60)
    connections_per_task = optional(number)
    spot_percent         = optional(number, 0)
  }))
  default = {
    api       = { functions = ["api", "archive"] }
    signaling = { functions = ["signaling"], connections_per_task = 5000 }
    web       = { functions = ["web"], cpu = 256, memory = 512 }
  }

  validation {
    condition     = toset(keys(var.services)) == toset(["api", "signaling", "web"])
    error_message = "services has exactly the keys api, signaling and web."
  }
  validation {
    condition     = alltrue([for name, service in var.services : contains(service.functions, name)])
    error_message = "Each service does at least the function that it is named after."
  }
  validation {
    condition     = alltrue([for service in var.services : service.tasks.least >= 1 && service.tasks.least <= service.tasks.most])
    error_message = "tasks.least is at least 1 and at most tasks.most."
  }
  validation {
    condition     = alltrue([for service in var.services : service.memory >= 512])
    error_message = "memory is 512 or more: the function and the collector beside it need as much."
  }
  validation {
    condition     = alltrue([for service in var.services : contains([256, 512, 1024], service.cpu)])
    error_message = "cpu is 256, 512 or 1024: a process uses one core, more of it would be idle."
  }
}

variable "timeouts" {
  description = <<-EOT
    Seconds.
    idle           after which the load balancer cuts a silent connection; clients ping every 20
    keep_alive     after which a function closes one: longer, or the load balancer meets a connection that just closed
    drain          that clients get to move at SIGTERM
    deregistration that the load balancer leaves a leaving task's connections: longer than the drain
    stop           from SIGTERM to SIGKILL: longer than the drain
  EOT
  type = object({
    idle           = optional(number, 600)
    keep_alive     = optional(number, 660)
    drain          = optional(number, 20)
    deregistration = optional(number, 30)
    stop           = optional(number, 60)
  })
  default = {}

  validation {
    condition     = var.timeouts.idle >= 300 && var.timeouts.idle <= 4000
    error_message = "timeouts.idle is 300 to 4000: an idle time-out near the ping interval costs seconds at the tail."
  }
  validation {
    condition     = var.timeouts.keep_alive > var.timeouts.idle
    error_message = "timeouts.keep_alive is longer than timeouts.idle."
  }
  validation {
    condition     = var.timeouts.drain < var.timeouts.deregistration && var.timeouts.drain + 5 <= var.timeouts.stop && var.timeouts.stop <= 120
    error_message = "timeouts.drain is shorter than timeouts.deregistration and at least 5 s shorter than timeouts.stop, which Fargate limits to 120."
  }
}

variable "cdn" {
  description = <<-EOT
    CloudFront in front, which keeps the static client; null leaves the load balancer to face the world.
    price_class PriceClass_100, PriceClass_200 or PriceClass_All
  EOT
  type        = object({ price_class = optional(string, "PriceClass_100") })
  default     = {}
}

variable "log_group_names" {
  description = "Log group by service."
  type        = map(string)
}

variable "collector" {
  description = "The OpenTelemetry collector beside each task, as the module monitoring gives it; null for none."
  type = object({
    image          = string
    repository_arn = string
    log_group_arn  = string
    workspace_arn  = optional(string)
    configurations = list(string)
    environment    = map(string)
  })
  default = null
}

variable "environment" {
  description = "Further variables of all function processes (docs/configuration.md)."
  type        = map(string)
  default     = {}
}

variable "protect" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
  default     = true
}
