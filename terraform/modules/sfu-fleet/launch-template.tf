locals {
  user_data = templatefile("${path.module}/user-data.yaml.tftpl", {
    region         = local.region
    image          = local.image
    registry       = var.image.uri == null ? split("/", aws_ecr_repository.this.repository_url)[0] : ""
    log_group      = var.log_group_name
    secret_arn     = var.state.secret.arn
    group          = local.name
    hooks          = local.hooks
    media_ports    = local.media_ports
    control_ports  = local.control
    media_tcp      = var.ports.tcp
    capacity_pps   = var.worker.capacity_pps
    uplink_bitrate = var.worker.uplink_bitrate
    drain          = var.drain
    busy_poll_us   = var.busy_poll_us
    environment    = var.environment
    metrics_port   = local.metrics_port
    collector = var.collector == null ? null : {
      image          = var.collector.image
      configurations = var.collector.configurations
      environment = merge(var.collector.environment, {
        HEADRACE_METRICS_TARGETS = jsonencode([for index in range(local.cores) : "127.0.0.1:${local.metrics_port + index}"])
      })
    }
  })
}

resource "aws_launch_template" "hosts" {
  name                   = local.name
  image_id               = local.ami
  instance_type          = var.hosts.type
  user_data              = base64encode(local.user_data)
  update_default_version = true

  iam_instance_profile {
    arn = aws_iam_instance_profile.hosts.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # the container is on the host's network
  }

  # Per minute, which scaling needs.
  monitoring {
    enabled = true
  }

  network_interfaces {
    associate_public_ip_address = true
    delete_on_termination       = true
    security_groups             = [aws_security_group.hosts.id, var.state.client_security_group_id]
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.hosts.volume_gb
      encrypted             = true
      delete_on_termination = true
    }
  }

  # Instances and volumes are made by auto-scaling, which knows nothing of the provider's default tags.
  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])

    content {
      resource_type = tag_specifications.key
      tags          = merge(data.aws_default_tags.current.tags, { Name = local.name })
    }
  }
}
