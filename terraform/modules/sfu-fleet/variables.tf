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
    vpc_id            = string
    public_subnet_ids = list(string)
  })
}

variable "state" {
  description = "Of the module state: the group that gives access, and the secret that the hosts read."
  type = object({
    client_security_group_id = string
    secret                   = object({ arn = string })
  })
}

variable "control_security_group_id" {
  description = "Group of those who may call the workers' control ports: the function tasks."
  type        = string
}

variable "image" {
  description = <<-EOT
    tag          tag in the repository that this module makes, or
    uri          a whole image reference instead, as REGISTRY/NAME@sha256:...
    force_delete whether a destroy takes the repository's images with it
  EOT
  type = object({
    tag          = optional(string)
    uri          = optional(string)
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
}

variable "hosts" {
  description = <<-EOT
    type         EC2 instance type; as many workers run as it has cores
    least, most  hosts
    ami          image of the hosts; by default the newest Amazon Linux 2023 at each start
    volume_gb    root volume, which recordings are on
    spot_percent share of hosts on spot beyond the first; an interruption drains like a scale-in, within two minutes
  EOT
  type = object({
    type         = optional(string, "c7a.large")
    least        = optional(number, 1)
    most         = optional(number, 10)
    ami          = optional(string)
    volume_gb    = optional(number, 30)
    spot_percent = optional(number, 0)
  })
  default = {}

  validation {
    condition     = var.hosts.least >= 1 && var.hosts.least <= var.hosts.most
    error_message = "hosts.least is at least 1 and at most hosts.most."
  }
  validation {
    condition     = var.hosts.spot_percent >= 0 && var.hosts.spot_percent <= 100
    error_message = "hosts.spot_percent is 0 to 100."
  }
}

variable "worker" {
  description = <<-EOT
    capacity_pps   packets per second that a worker may carry; the output of the module capacity
    uplink_bitrate bit/s that publishers are told they may send
    scale_percent  of the capacity, what autoscaling holds
  EOT
  type = object({
    capacity_pps   = optional(number, 200000)
    uplink_bitrate = optional(number, 4000000)
    scale_percent  = optional(number, 60)
  })
  default = {}

  validation {
    condition     = var.worker.scale_percent >= 10 && var.worker.scale_percent <= 90
    error_message = "worker.scale_percent is 10 to 90: at 100 new viewers have been refused already."
  }
}

variable "ports" {
  description = <<-EOT
    First port of each range; a host uses as many of each as it has cores.
    media   UDP, from anywhere
    control TCP, from the function tasks
    tcp     whether media is also taken over TCP on the media ports, for networks that block UDP; opens them to the world
  EOT
  type = object({
    media   = optional(number, 40000)
    control = optional(number, 7900)
    tcp     = optional(bool, false)
  })
  default = {}

  validation {
    condition     = alltrue([for port in [var.ports.media, var.ports.control] : port >= 1024 && port <= 65000])
    error_message = "Ports are 1024 to 65000."
  }
}

variable "drain" {
  description = <<-EOT
    Seconds.
    worker that a worker takes to move its sessions
    host   that all workers of a host may take before they are killed
    hook   that auto-scaling waits for a host without a heartbeat before it goes on regardless
  EOT
  type = object({
    worker = optional(number, 30)
    host   = optional(number, 90)
    hook   = optional(number, 180)
  })
  default = {}

  validation {
    condition     = var.drain.worker + 10 <= var.drain.host
    error_message = "drain.host is at least 10 s longer than drain.worker."
  }
  validation {
    condition     = var.drain.host + 30 <= var.drain.hook && var.drain.hook <= 7200
    error_message = "drain.hook is at least 30 s longer than drain.host, and at most 7200."
  }
  validation {
    condition     = var.hosts.spot_percent == 0 || var.drain.host <= 110
    error_message = "A spot host is gone two minutes after its notice: with hosts.spot_percent, drain.host is at most 110."
  }
}

variable "busy_poll_us" {
  description = "Microseconds that the kernel polls the network card for a reader; 0 is off. It takes processor time from the workers: for hosts with idle cores."
  type        = number
  default     = 0
}

variable "log_group_name" {
  description = "Log group of hosts and workers."
  type        = string
}

variable "collector" {
  description = "The OpenTelemetry collector on each host, as the module monitoring gives it; null for none."
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
  description = "Further variables of all workers (docs/configuration.md)."
  type        = map(string)
  default     = {}
}

variable "protect" {
  description = "Whether a destroy waits until the hosts have drained."
  type        = bool
  default     = true
}
