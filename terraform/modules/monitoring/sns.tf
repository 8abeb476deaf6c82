# By what an alarm asks for: page wakes somebody, ticket waits for the morning.
resource "aws_sns_topic" "alarms" {
  for_each = toset(["page", "ticket"])

  name              = "${var.prefix}-${each.key}"
  kms_master_key_id = aws_kms_key.alarms.arn
}

resource "aws_sns_topic_subscription" "email" {
  for_each = { for pair in setproduct(keys(aws_sns_topic.alarms), var.emails) : join(" ", pair) => pair }

  topic_arn = aws_sns_topic.alarms[each.value[0]].arn
  protocol  = "email"
  endpoint  = each.value[1]
}

# AWS' own key for SNS does not let CloudWatch use it.
resource "aws_kms_key" "alarms" {
  description             = "${var.prefix} alarms"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Administer"
        Effect    = "Allow"
        Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
      },
    ]
  })
}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}
