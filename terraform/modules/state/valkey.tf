locals {
  valkey = merge(
    {
      room-log = {
        description   = "Room logs, presence and placement; never evicts"
        node_type     = var.room_log.node_type
        replicas      = var.room_log.replicas
        snapshot_days = var.room_log.snapshot_days
        policy        = "noeviction"
      }
    },
    var.cache == null ? {} : {
      cache = {
        description   = "Cache; evicts what was used least recently"
        node_type     = var.cache.node_type
        replicas      = var.cache.replicas
        snapshot_days = 0
        policy        = "allkeys-lru"
      }
    },
  )

  # What the rest of the module knows of them.
  valkey_id   = { for name, group in aws_elasticache_replication_group.this : name => group.replication_group_id }
  valkey_host = { for name, group in aws_elasticache_replication_group.this : name => group.primary_endpoint_address }
}

resource "aws_elasticache_subnet_group" "this" {
  name        = "${var.prefix}-state"
  description = "Private subnets"
  subnet_ids  = var.network.private_subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  for_each = local.valkey

  name        = "${var.prefix}-${each.key}"
  family      = "valkey8"
  description = each.value.description

  parameter {
    name  = "maxmemory-policy"
    value = each.value.policy
  }
}

resource "aws_elasticache_replication_group" "this" {
  for_each = local.valkey

  replication_group_id       = "${var.prefix}-${each.key}"
  description                = each.value.description
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = each.value.node_type
  num_cache_clusters         = 1 + each.value.replicas
  automatic_failover_enabled = each.value.replicas > 0
  multi_az_enabled           = each.value.replicas > 0
  parameter_group_name       = aws_elasticache_parameter_group.this[each.key].name
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.state.id]
  port                       = 6379
  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  auth_token                 = terraform_data.password[each.key].output
  snapshot_retention_limit   = each.value.snapshot_days
  final_snapshot_identifier  = var.protect && each.value.snapshot_days > 0 ? "${var.prefix}-${each.key}-last" : null
  auto_minor_version_upgrade = true
  apply_immediately          = true
}
