# Secrets Manager makes them. Each read gives another one, so the first is kept: to change one, replace it
# (terraform apply -replace=...). They are in the state file, which must be encrypted.

locals {
  passwords = toset(concat(["room-log"], var.cache == null ? [] : ["cache"], local.own_mongodb ? ["documentdb"] : []))
}

data "aws_secretsmanager_random_password" "this" {
  for_each = local.passwords

  password_length     = 48
  exclude_punctuation = true
}

resource "terraform_data" "password" {
  for_each = local.passwords

  input = data.aws_secretsmanager_random_password.this[each.key].random_password

  lifecycle {
    ignore_changes = [input]
  }
}
