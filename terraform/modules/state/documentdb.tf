locals {
  # What the rest of the module knows of it.
  documentdb_user = "headrace"
  documentdb_id   = one(aws_docdb_cluster.this[*].cluster_identifier)
  documentdb_host = one(aws_docdb_cluster.this[*].endpoint)
}

resource "aws_docdb_subnet_group" "this" {
  count = local.own_mongodb ? 1 : 0

  name        = "${var.prefix}-state"
  description = "Private subnets"
  subnet_ids  = var.network.private_subnet_ids
}

resource "aws_docdb_cluster_parameter_group" "this" {
  count = local.own_mongodb ? 1 : 0

  name        = "${var.prefix}-state"
  family      = "docdb5.0"
  description = "TLS only"

  parameter {
    name  = "tls"
    value = "enabled"
  }
}

resource "aws_docdb_cluster" "this" {
  count = local.own_mongodb ? 1 : 0

  cluster_identifier              = "${var.prefix}-state"
  engine                          = "docdb"
  engine_version                  = "5.0.0"
  master_username                 = local.documentdb_user
  master_password                 = terraform_data.password["documentdb"].output
  db_subnet_group_name            = aws_docdb_subnet_group.this[0].name
  db_cluster_parameter_group_name = aws_docdb_cluster_parameter_group.this[0].name
  vpc_security_group_ids          = [aws_security_group.state.id]
  storage_encrypted               = true
  backup_retention_period         = var.documentdb.backup_days
  deletion_protection             = var.protect
  skip_final_snapshot             = !var.protect
  final_snapshot_identifier       = var.protect ? "${var.prefix}-state-last" : null
  apply_immediately               = true
}

resource "aws_docdb_cluster_instance" "this" {
  count = local.own_mongodb ? var.documentdb.instances : 0

  identifier         = "${var.prefix}-state-${count.index + 1}"
  cluster_identifier = aws_docdb_cluster.this[0].id
  instance_class     = var.documentdb.instance_class
  apply_immediately  = true
}
