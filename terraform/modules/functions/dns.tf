locals {
  front = var.cdn == null ? { name = aws_lb.this.dns_name, zone_id = aws_lb.this.zone_id } : {
    name    = aws_cloudfront_distribution.this[0].domain_name
    zone_id = aws_cloudfront_distribution.this[0].hosted_zone_id
  }
}

resource "aws_route53_record" "front" {
  for_each = var.cdn == null ? toset(["A"]) : toset(["A", "AAAA"])

  zone_id = var.domain.zone_id
  name    = var.domain.name
  type    = each.key

  alias {
    name                   = local.front.name
    zone_id                = local.front.zone_id
    evaluate_target_health = false
  }
}
