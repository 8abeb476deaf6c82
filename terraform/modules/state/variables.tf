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
    private_subnet_ids = list(string)
  })
}

variable "room_log" {
  description = <<-EOT
    The Valkey that must not forget: room logs, presence, placement. It refuses writes when full and never evicts.
    node_type     ElastiCache node type
    replicas      copies in other zones; at least one makes it multi-AZ with automatic failover
    snapshot_days days that daily snapshots are kept; 0 turns them off
  EOT
  type = object({
    node_type     = optional(string, "cache.t4g.small")
    replicas      = optional(number, 1)
    snapshot_days = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.room_log.replicas >= 0 && var.room_log.replicas <= 5
    error_message = "room_log.replicas is 0 to 5."
  }
}

variable "cache" {
  description = "The Valkey that may forget: it evicts what was used least recently. Null for none."
  type = object({
    node_type = optional(string, "cache.t4g.micro")
    replicas  = optional(number, 0)
  })
  default = {}
}

variable "documentdb" {
  description = <<-EOT
    instance_class DocumentDB instance class
    instances      1 in development; 2 or more are spread over the zones and fail over
    backup_days    days that backups are kept
    ca_file        where the image has AWS' certificate bundle (docs/deploying.md)
  EOT
  type = object({
    instance_class = optional(string, "db.t4g.medium")
    instances      = optional(number, 1)
    backup_days    = optional(number, 1)
    ca_file        = optional(string, "/app/certificates/documentdb.pem")
  })
  default = {}

  validation {
    condition     = var.documentdb.instances >= 1 && var.documentdb.backup_days >= 1 && var.documentdb.backup_days <= 35
    error_message = "documentdb.instances is at least 1, documentdb.backup_days 1 to 35."
  }
}

variable "mongodb_uri" {
  description = "URI of a MongoDB replica set to be used instead of DocumentDB; none is made then."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.mongodb_uri == null || can(regex("^mongodb(\\+srv)?://", var.mongodb_uri))
    error_message = "mongodb_uri begins with mongodb:// or mongodb+srv://."
  }
}

variable "jwt_keys" {
  description = "JWK set of Ed25519 keys with kid; the first has its private part and signs (docs/identity.md, Signing keys)."
  type        = string
  sensitive   = true

  validation {
    condition     = can(jsondecode(var.jwt_keys).keys[0].d) && try(alltrue([for key in jsondecode(var.jwt_keys).keys : key.crv == "Ed25519" && key.kid != ""]), false)
    error_message = "jwt_keys is a JWK set, {\"keys\": [...]}, of Ed25519 keys with kid, of which the first has a private part (d)."
  }
}

variable "protect" {
  description = "Whether a destroy is refused and leaves a last snapshot and recoverable secrets."
  type        = bool
  default     = true
}
