locals {
  # A given URI is secret; whether there is one is not.
  own_mongodb = nonsensitive(var.mongodb_uri == null)
  mongodb_uri = local.own_mongodb ? join("", [
    "mongodb://${local.documentdb_user}:${terraform_data.password["documentdb"].output}@${local.documentdb_host}:27017/",
    "?tls=true&tlsCAFile=${var.documentdb.ca_file}&replicaSet=rs0&readPreference=primaryPreferred&retryWrites=false",
  ]) : var.mongodb_uri

  redis_url = "rediss://:${terraform_data.password["room-log"].output}@${local.valkey_host["room-log"]}:6379/0"
  cache_url = var.cache == null ? null : "rediss://:${terraform_data.password["cache"].output}@${local.valkey_host["cache"]}:6379/0"

  # Workers verify and never sign.
  public_jwt_keys = jsonencode({
    keys = [for key in jsondecode(var.jwt_keys).keys : { for name, value in key : name => value if name != "d" }]
  })
}
