locals {
  zones      = slice(sort(data.aws_availability_zones.available.names), 0, var.network.zones)
  exit_zones = var.network.redundant ? local.zones : slice(local.zones, 0, 1)

  # Both grow with the zones that they are in; the cheaper one depends on how many services are called.
  cost_hour = {
    endpoints = var.prices.endpoint_hour * length(var.endpoint_services) * length(local.exit_zones)
    nat       = var.prices.nat_hour * length(local.exit_zones)
  }
  cheaper = local.cost_hour.endpoints <= local.cost_hour.nat ? "endpoints" : "nat"
  egress  = var.network.internet ? "nat" : var.network.egress == "auto" ? local.cheaper : var.network.egress
}

data "aws_availability_zones" "available" {
  state = "available"

  # Local zones and wavelength zones lack most services.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

data "aws_region" "current" {}
