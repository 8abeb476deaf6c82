mock_provider "aws" {
  mock_data "aws_secretsmanager_random_password" {
    defaults = { random_password = "mockedmockedmockedmocked" }
  }
}

variables {
  prefix   = "test"
  network  = { vpc_id = "vpc-1", private_subnet_ids = ["subnet-1", "subnet-2"] }
  jwt_keys = "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"a\", \"x\": \"public\", \"d\": \"hidden\"}]}"
}

run "the_room_log_never_evicts_and_the_cache_does" {
  command = plan

  assert {
    condition     = one(aws_elasticache_parameter_group.this["room-log"].parameter).value == "noeviction"
    error_message = "A room log that evicts loses messages."
  }
  assert {
    condition     = one(aws_elasticache_parameter_group.this["cache"].parameter).value == "allkeys-lru"
    error_message = "A cache that does not evict fills up."
  }
}

run "the_room_log_fails_over_to_another_zone" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this["room-log"].multi_az_enabled && aws_elasticache_replication_group.this["room-log"].automatic_failover_enabled
    error_message = "One zone's loss must not lose the room log."
  }
}

run "everything_is_encrypted_at_rest_and_in_transit" {
  command = plan

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.transit_encryption_enabled && group.at_rest_encryption_enabled == "true"])
    error_message = "Valkey is not encrypted."
  }
  assert {
    condition     = aws_docdb_cluster.this[0].storage_encrypted && one(aws_docdb_cluster_parameter_group.this[0].parameter).value == "enabled"
    error_message = "DocumentDB is not encrypted."
  }
}

run "only_members_of_the_clients_group_get_in" {
  command = plan

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.state : rule.cidr_ipv4 == null && rule.cidr_ipv6 == null])
    error_message = "State is open to addresses."
  }
}

run "workers_get_keys_that_verify_and_cannot_sign" {
  command = plan

  assert {
    condition     = !strcontains(nonsensitive(local.public_jwt_keys), "hidden") && strcontains(nonsensitive(local.public_jwt_keys), "public")
    error_message = "The private part of a key reached the workers."
  }
  assert {
    condition     = output.secrets["sfu"].variables == tolist(["HEADRACE_JWT_KEYS", "REDIS_URL"]) && contains(output.secrets["functions"].variables, "MONGODB_URI") && contains(output.secrets["functions"].variables, "HEADRACE_CACHE_URL")
    error_message = "A reader's secret holds what it needs and no more."
  }
}

run "a_mongodb_of_yours_replaces_documentdb" {
  command = plan

  variables {
    mongodb_uri = "mongodb+srv://user:word@cluster.example.org/"
  }

  assert {
    condition     = length(aws_docdb_cluster.this) == 0 && length(aws_docdb_cluster_instance.this) == 0
    error_message = "DocumentDB was made all the same."
  }
}

run "nothing_blocks_a_destroy_that_is_not_protected" {
  command = plan

  variables {
    protect = false
  }

  assert {
    condition     = !aws_docdb_cluster.this[0].deletion_protection && aws_docdb_cluster.this[0].skip_final_snapshot
    error_message = "DocumentDB blocks the destroy."
  }
  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.recovery_window_in_days == 0])
    error_message = "A secret's name stays taken after the destroy."
  }
}

run "protected_state_refuses_to_be_destroyed_and_leaves_a_snapshot" {
  command = plan

  assert {
    condition     = aws_docdb_cluster.this[0].deletion_protection && !aws_docdb_cluster.this[0].skip_final_snapshot
    error_message = "DocumentDB would go without a trace."
  }
}

run "keys_that_cannot_sign_are_refused" {
  command = plan

  variables {
    jwt_keys = "{\"keys\": [{\"crv\": \"Ed25519\", \"kid\": \"a\", \"x\": \"public\"}]}"
  }

  expect_failures = [var.jwt_keys]
}
