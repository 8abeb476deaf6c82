resource "aws_lb" "this" {
  name                       = var.prefix
  load_balancer_type         = "application"
  internal                   = false
  subnets                    = var.network.public_subnet_ids
  security_groups            = [aws_security_group.load_balancer.id]
  idle_timeout               = var.timeouts.idle
  client_keep_alive          = 3600
  drop_invalid_header_fields = true
  enable_deletion_protection = var.protect
}

resource "aws_lb_target_group" "this" {
  for_each = local.targets

  name                          = "${var.prefix}-${each.key}"
  vpc_id                        = var.network.vpc_id
  target_type                   = "ip"
  protocol                      = "HTTP"
  port                          = each.value.port
  deregistration_delay          = var.timeouts.deregistration
  load_balancing_algorithm_type = "least_outstanding_requests"

  # The socket server speaks nothing else: its process answers for it.
  health_check {
    path                = "/health/ready"
    port                = tostring(local.http_port)
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTP"
  port              = 80

  default_action {
    type = "redirect"

    redirect {
      protocol    = "HTTPS"
      port        = "443"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTPS"
  port              = 443
  certificate_arn   = aws_acm_certificate_validation.regional.certificate_arn
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this["web"].arn
  }
}

locals {
  # In this order; what matches none is the web client's.
  rules = {
    sockets = { priority = 20, target = "sockets", paths = ["/v1/rooms/*/socket"] }
    api     = { priority = 30, target = "api", paths = ["/v1/*", "/openapi.json", "/openapi*"] }
  }
}

resource "aws_lb_listener_rule" "this" {
  for_each = local.rules

  listener_arn = aws_lb_listener.https.arn
  priority     = each.value.priority

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[each.value.target].arn
  }

  condition {
    path_pattern {
      values = each.value.paths
    }
  }
}

# For those who operate it, inside.
resource "aws_lb_listener_rule" "private" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 10

  action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "not found"
      status_code  = "404"
    }
  }

  condition {
    path_pattern {
      values = ["/metrics", "/metrics/*", "/health/*"]
    }
  }
}
