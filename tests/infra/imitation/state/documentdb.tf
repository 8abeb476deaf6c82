# In the place of modules/state/documentdb.tf: the imitation has no DocumentDB.
locals {
  documentdb_user = "headrace"
  documentdb_id   = one(terraform_data.documentdb[*].output)
  documentdb_host = one([for name in terraform_data.documentdb[*].output : "${name}.docdb.invalid"])
}

resource "terraform_data" "documentdb" {
  count = local.own_mongodb ? 1 : 0

  input = "${var.prefix}-state"
}
