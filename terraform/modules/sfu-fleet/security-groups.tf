resource "aws_security_group" "hosts" {
  name        = local.name
  description = "SFU hosts"
  vpc_id      = var.network.vpc_id

  tags = { Name = local.name }
}

resource "aws_vpc_security_group_ingress_rule" "media" {
  for_each = toset(var.ports.tcp ? ["udp", "tcp"] : ["udp"])

  security_group_id = aws_security_group.hosts.id
  description       = "Media, ${each.key}"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = each.key
  from_port         = local.media_ports.first
  to_port           = local.media_ports.last
}

resource "aws_vpc_security_group_ingress_rule" "control" {
  security_group_id            = aws_security_group.hosts.id
  description                  = "Control API, from functions"
  referenced_security_group_id = var.control_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = local.control.first
  to_port                      = local.control.last
}

# Viewers are anywhere.
# One room on many workers: an edge asks another worker's control port, and takes the media on a free port of its own.
resource "aws_vpc_security_group_ingress_rule" "cascade_control" {
  security_group_id            = aws_security_group.hosts.id
  description                  = "Control ports, from other hosts"
  referenced_security_group_id = aws_security_group.hosts.id
  ip_protocol                  = "tcp"
  from_port                    = local.control.first
  to_port                      = local.control.last
}

resource "aws_vpc_security_group_ingress_rule" "cascade_media" {
  security_group_id            = aws_security_group.hosts.id
  description                  = "Media between workers, from other hosts"
  referenced_security_group_id = aws_security_group.hosts.id
  ip_protocol                  = "udp"
  from_port                    = 1024
  to_port                      = 65535
}

resource "aws_vpc_security_group_egress_rule" "all" {
  security_group_id = aws_security_group.hosts.id
  description       = "all"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
