# Who is in `clients` reaches what is in `state`: no module has to know the addresses or groups of another.
resource "aws_security_group" "clients" {
  name        = "${var.prefix}-state-clients"
  description = "May open connections to Valkey and MongoDB"
  vpc_id      = var.network.vpc_id

  tags = { Name = "${var.prefix}-state-clients" }
}

resource "aws_security_group" "state" {
  name        = "${var.prefix}-state"
  description = "Valkey and DocumentDB"
  vpc_id      = var.network.vpc_id

  tags = { Name = "${var.prefix}-state" }
}

resource "aws_vpc_security_group_ingress_rule" "state" {
  for_each = merge({ valkey = 6379 }, local.own_mongodb ? { mongodb = 27017 } : {})

  security_group_id            = aws_security_group.state.id
  description                  = each.key
  referenced_security_group_id = aws_security_group.clients.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_vpc_security_group_egress_rule" "clients" {
  for_each = { valkey = 6379, mongodb = 27017 }

  security_group_id            = aws_security_group.clients.id
  description                  = each.key
  referenced_security_group_id = aws_security_group.state.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}
