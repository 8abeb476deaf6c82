locals {
  name         = "${var.prefix}-sfu"
  cores        = data.aws_ec2_instance_type.host.default_vcpus
  architecture = contains(data.aws_ec2_instance_type.host.supported_architectures, "arm64") ? "arm64" : "x86_64"
  region       = data.aws_region.current.name
  image        = coalesce(var.image.uri, "${aws_ecr_repository.this.repository_url}:${coalesce(var.image.tag, "-")}")
  media_ports  = { first = var.ports.media, last = var.ports.media + local.cores - 1 }
  control      = { first = var.ports.control, last = var.ports.control + local.cores - 1 }

  metrics_port = 9464

  # Read at each start of a host: a plan does not change because AWS released an image.
  ami = coalesce(
    var.hosts.ami,
    "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${local.architecture}",
  )
}

data "aws_ec2_instance_type" "host" {
  instance_type = var.hosts.type
}

data "aws_region" "current" {}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_default_tags" "current" {}
