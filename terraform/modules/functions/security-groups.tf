resource "aws_security_group" "load_balancer" {
  name        = "${var.prefix}-load-balancer"
  description = "HTTPS from viewers"
  vpc_id      = var.network.vpc_id

  tags = { Name = "${var.prefix}-load-balancer" }
}

# Behind CloudFront nobody else is let in, or its cache and its limits could be gone around.
resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  for_each = var.cdn == null ? { http = 80, https = 443 } : { https = 443 }

  security_group_id = aws_security_group.load_balancer.id
  description       = each.key
  cidr_ipv4         = var.cdn == null ? "0.0.0.0/0" : null
  prefix_list_id    = var.cdn == null ? null : data.aws_ec2_managed_prefix_list.cloudfront[0].id
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  for_each = { http = local.http_port, sockets = local.sockets_port }

  security_group_id            = aws_security_group.load_balancer.id
  description                  = each.key
  referenced_security_group_id = aws_security_group.tasks.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_security_group" "tasks" {
  name        = "${var.prefix}-functions"
  description = "Function tasks"
  vpc_id      = var.network.vpc_id

  tags = { Name = "${var.prefix}-functions" }
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  for_each = { http = local.http_port, sockets = local.sockets_port }

  security_group_id            = aws_security_group.tasks.id
  description                  = each.key
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

# Endpoints or NAT, Valkey, MongoDB, and the workers' control ports: what is not there cannot be reached anyway.
resource "aws_vpc_security_group_egress_rule" "tasks" {
  security_group_id = aws_security_group.tasks.id
  description       = "all"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
