# In the place of modules/state/valkey.tf: the imitation has no ElastiCache parameter groups, and its subnet groups cannot
# be deleted.
locals {
  valkey_id   = { for name, group in terraform_data.valkey : name => group.output }
  valkey_host = { for name, group in terraform_data.valkey : name => "${group.output}.cache.invalid" }
}

resource "terraform_data" "valkey" {
  for_each = toset(var.cache == null ? ["room-log"] : ["room-log", "cache"])

  input = "${var.prefix}-${each.key}"
}
