# Put beside an environment by the tests, which look at the plan that it makes. Nothing is asked of AWS.
mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "xx-test-1" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["xx-test-1a", "xx-test-1b", "xx-test-1c"] }
  }
  mock_data "aws_ec2_managed_prefix_list" {
    defaults = { id = "pl-cloudfront", entries = [{ cidr = "192.0.2.0/24", description = "" }] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_ec2_instance_type" {
    defaults = { default_vcpus = 2, supported_architectures = ["x86_64"] }
  }
  mock_data "aws_secretsmanager_random_password" {
    defaults = { random_password = "mockedmockedmockedmocked" }
  }
}

mock_provider "aws" {
  alias = "us_east_1"
}

variables {
  region   = "xx-test-1"
  domain   = { name = "live.example.org", zone_id = "Z1" }
  images   = { functions = "0.1.0", sfu = "0.1.0", collector = "v0.49.0" }
  jwt_keys = "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"a\", \"x\": \"public\", \"d\": \"hidden\"}]}"
}

run "a_whole_platform_is_planned" {
  command = plan
}
