locals {
  # By who reads it: each has a secret of its own, and may read no other.
  secrets = {
    functions = merge(
      {
        REDIS_URL         = local.redis_url
        MONGODB_URI       = local.mongodb_uri
        HEADRACE_JWT_KEYS = var.jwt_keys
      },
      var.cache == null ? {} : { HEADRACE_CACHE_URL = local.cache_url },
    )
    sfu = {
      REDIS_URL         = local.redis_url
      HEADRACE_JWT_KEYS = local.public_jwt_keys
    }
  }
}

resource "aws_secretsmanager_secret" "this" {
  for_each = toset(["functions", "sfu"])

  name        = "${var.prefix}/${each.key}"
  description = "Environment of ${each.key}"
  # At once where the name must be free for the next apply.
  recovery_window_in_days = var.protect ? 7 : 0
}

resource "aws_secretsmanager_secret_version" "this" {
  for_each = aws_secretsmanager_secret.this

  secret_id     = each.value.id
  secret_string = jsonencode(local.secrets[each.key])
}
