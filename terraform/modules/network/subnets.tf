# Load balancer, NAT gateways, and SFU hosts, which viewers reach directly.
resource "aws_subnet" "public" {
  for_each = { for index, zone in local.zones : zone => index }

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.network.cidr, 4, each.value)
  # Who is to have a public address asks for it (the SFU's launch template).
  map_public_ip_on_launch = false

  tags = { Name = "${var.prefix}-public-${each.key}" }
}

# Function tasks, caches and databases.
resource "aws_subnet" "private" {
  for_each = { for index, zone in local.zones : zone => index }

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.network.cidr, 4, 8 + each.value)

  tags = { Name = "${var.prefix}-private-${each.key}" }
}
