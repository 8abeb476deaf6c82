terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
      # CloudFront takes its certificate from us-east-1 only.
      configuration_aliases = [aws.us_east_1]
    }
  }
}
