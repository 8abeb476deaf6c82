# Made for real; what the imitation does not give back as it was given is left out of the comparison.
resource "aws_vpc_security_group_ingress_rule" "state" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_egress_rule" "clients" {
  lifecycle {
    ignore_changes = [description]
  }
}
