locals {
  validation = one(aws_acm_certificate.regional.domain_validation_options)
}

resource "aws_acm_certificate" "regional" {
  domain_name       = var.domain.name
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

# The same name needs the same record, whichever region asks.
resource "aws_route53_record" "validation" {
  zone_id         = var.domain.zone_id
  name            = local.validation.resource_record_name
  type            = local.validation.resource_record_type
  records         = [local.validation.resource_record_value]
  ttl             = 60
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "regional" {
  certificate_arn         = aws_acm_certificate.regional.arn
  validation_record_fqdns = [aws_route53_record.validation.fqdn]
}

resource "aws_acm_certificate" "cdn" {
  count    = var.cdn == null ? 0 : 1
  provider = aws.us_east_1

  domain_name       = var.domain.name
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_acm_certificate_validation" "cdn" {
  count    = var.cdn == null ? 0 : 1
  provider = aws.us_east_1

  certificate_arn         = aws_acm_certificate.cdn[0].arn
  validation_record_fqdns = [aws_route53_record.validation.fqdn]
}
