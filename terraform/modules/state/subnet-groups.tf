resource "aws_elasticache_subnet_group" "this" {
  name        = "${var.prefix}-state"
  description = "Private subnets"
  subnet_ids  = var.network.private_subnet_ids
}

resource "aws_docdb_subnet_group" "this" {
  count = local.own_mongodb ? 1 : 0

  name        = "${var.prefix}-state"
  description = "Private subnets"
  subnet_ids  = var.network.private_subnet_ids
}
