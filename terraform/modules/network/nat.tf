resource "aws_eip" "nat" {
  for_each = local.egress == "nat" ? toset(local.exit_zones) : []

  domain = "vpc"

  tags = { Name = "${var.prefix}-nat-${each.key}" }
}

resource "aws_nat_gateway" "this" {
  for_each = aws_eip.nat

  allocation_id = each.value.id
  subnet_id     = aws_subnet.public[each.key].id

  tags = { Name = "${var.prefix}-${each.key}" }

  depends_on = [aws_internet_gateway.this]
}
