locals {
  image        = coalesce(var.image.uri, "${aws_ecr_repository.this.repository_url}:${coalesce(var.image.tag, "-")}")
  http_port    = 8000
  sockets_port = 8001

  # Only signaling has room sockets, on a server of their own (docs/decisions/2026-11-22-socket-server.md).
  targets = merge(
    { for name in keys(var.services) : name => { service = name, port = local.http_port } },
    { sockets = { service = "signaling", port = local.sockets_port } },
  )

  # Whose X-Forwarded-For is believed: the load balancer's, and CloudFront's when it is in front.
  trusted_proxies = concat(
    [var.network.cidr],
    var.cdn == null ? [] : [for entry in data.aws_ec2_managed_prefix_list.cloudfront[0].entries : entry.cidr],
  )

  environment = merge(
    {
      HEADRACE_HOST             = "0.0.0.0"
      HEADRACE_PORT             = tostring(local.http_port)
      HEADRACE_DRAIN_DEADLINE_S = tostring(var.timeouts.drain)
      HEADRACE_KEEP_ALIVE_S     = tostring(var.timeouts.keep_alive)
      HEADRACE_TRUSTED_PROXIES  = join(",", local.trusted_proxies)
    },
    var.collector == null ? {} : { HEADRACE_METRICS_PORT = tostring(local.metrics_port) },
    var.environment,
  )
}

data "aws_region" "current" {}

data "aws_ec2_managed_prefix_list" "cloudfront" {
  count = var.cdn == null ? 0 : 1

  name = "com.amazonaws.global.cloudfront.origin-facing"
}
