output "client_security_group_id" {
  description = "Membership in this group gives access to Valkey and DocumentDB."
  value       = aws_security_group.clients.id
}

output "secrets" {
  description = "By reader, functions or sfu: the secret's ARN and the variables that it holds."
  value = {
    for name, secret in aws_secretsmanager_secret.this : name => {
      arn       = secret.arn
      variables = sort(nonsensitive(keys(local.secrets[name])))
    }
  }
  depends_on = [aws_secretsmanager_secret_version.this]
}

output "cache_url" {
  description = "URL of the cache that may forget, or null."
  value       = local.cache_url
  sensitive   = true
}

output "names" {
  description = "What the console calls these parts, and `values` for the templates of alarms and dashboards."
  value = {
    valkey     = { for name, group in aws_elasticache_replication_group.this : name => group.replication_group_id }
    documentdb = one(aws_docdb_cluster.this[*].cluster_identifier)
    values = {
      valkey_room_log = aws_elasticache_replication_group.this["room-log"].replication_group_id
      valkey_cache    = var.cache == null ? "none" : aws_elasticache_replication_group.this["cache"].replication_group_id
      documentdb      = local.own_mongodb ? aws_docdb_cluster.this[0].cluster_identifier : "none"
    }
  }
}
