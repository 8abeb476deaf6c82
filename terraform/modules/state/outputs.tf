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
    valkey     = local.valkey_id
    documentdb = local.documentdb_id
    values = {
      valkey_room_log = local.valkey_id["room-log"]
      valkey_cache    = var.cache == null ? "none" : local.valkey_id["cache"]
      documentdb      = local.own_mongodb ? local.documentdb_id : "none"
    }
  }
}
