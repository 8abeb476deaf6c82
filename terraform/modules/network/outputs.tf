output "network" {
  description = "What the other modules need of the network."
  value = {
    vpc_id             = aws_vpc.this.id
    cidr               = aws_vpc.this.cidr_block
    zones              = local.zones
    public_subnet_ids  = [for zone in local.zones : aws_subnet.public[zone].id]
    private_subnet_ids = [for zone in local.zones : aws_subnet.private[zone].id]
  }
  # Nothing may start in a private subnet before it has its way out.
  depends_on = [
    aws_route.internet,
    aws_route.nat,
    aws_route_table_association.public,
    aws_route_table_association.private,
    aws_vpc_endpoint.interface,
    aws_vpc_endpoint.s3,
  ]
}

output "egress" {
  description = "How private subnets reach out, and what each way would cost an hour."
  value = {
    way       = local.egress
    count     = local.egress == "nat" ? length(local.exit_zones) : length(var.endpoint_services) * length(local.exit_zones)
    cost_hour = local.cost_hour
  }
}
