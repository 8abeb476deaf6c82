"""terraform/: formatted, valid for the real provider, and keeping the invariants that a deployment stands on."""

import json
import re
import shutil
from collections.abc import Iterable
from typing import Any

import pytest

from functions.signaling.connection import PING_INTERVAL_S
from shared.stack.paths import ROOT
from tests.infra.terraform import ENVIRONMENTS, MOCKS, MODULES, Workspace

pytestmark = pytest.mark.timeout(600)

_EXAMPLE = re.compile(r"```hcl\n# plans (\d+) resources\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def whole_plans(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """Each environment's plan."""
    found: dict[str, dict[str, Any]] = {}
    for name in ENVIRONMENTS:
        folder = workspace.root / "environments" / name
        (folder / "tests").mkdir(exist_ok=True)
        shutil.copy(MOCKS, folder / "tests")
        found[name] = workspace.planned(folder)
    return found


@pytest.fixture(scope="module")
def plans(whole_plans: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """What each environment would create, by environment."""
    return {
        name: [
            {**change["change"]["after"], "address": change["address"], "kind": change["type"]}
            for change in plan["resource_changes"]
            if change["mode"] == "managed"
        ]
        for name, plan in whole_plans.items()
    }


def of(plan: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    found = [resource for resource in plan if resource["kind"] == kind]
    assert found, f"no {kind} is planned"
    return found


def test_every_file_is_formatted(workspace: Workspace) -> None:
    for folder in (ROOT / "terraform", ROOT / "tests" / "infra"):
        workspace.run(folder, "fmt", "-check", "-diff", "-recursive")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_valid_for_the_real_provider(workspace: Workspace, environment: str) -> None:
    folder = workspace.root / "environments" / environment
    workspace.init(folder)
    workspace.run(folder, "validate")


@pytest.mark.parametrize("module", MODULES)
def test_a_modules_own_tests_pass(workspace: Workspace, module: str) -> None:
    folder = workspace.root / "modules" / module
    workspace.init(folder)
    assert re.search(r"Success! [1-9]\d* passed, 0 failed", workspace.run(folder, "test").stdout)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_modules_page_plan_what_they_say(workspace: Workspace, module: str) -> None:
    page = (ROOT / "terraform" / "modules" / module / "README.md").read_text(encoding="utf-8")
    examples = _EXAMPLE.findall(page)
    assert examples
    assert len(examples) == page.count("```hcl")
    for number, (count, text) in enumerate(examples):
        plan = workspace.example(f"{module}-{number}", text)
        planned = [change for change in plan.get("resource_changes", []) if change["mode"] == "managed"]
        assert len(planned) == int(count), f"example {number + 1} of {module}"


def test_silent_sockets_outlive_many_pings(plans: dict[str, list[dict[str, Any]]]) -> None:
    for plan in plans.values():
        (balancer,) = of(plan, "aws_lb")
        assert balancer["idle_timeout"] >= 300
        assert balancer["idle_timeout"] > 10 * PING_INTERVAL_S


def test_nothing_but_the_load_balancer_and_media_over_udp_is_open(plans: dict[str, list[dict[str, Any]]]) -> None:
    for plan in plans.values():
        rules = of(plan, "aws_vpc_security_group_ingress_rule")
        public = {
            (rule["address"].rpartition(".")[2], rule["ip_protocol"], rule["from_port"], rule["to_port"])
            for rule in rules
            if rule["cidr_ipv4"] not in {None, "10.20.0.0/16"} or rule["cidr_ipv6"] or rule["prefix_list_id"]
        }
        assert public == {
            ('load_balancer["https"]', "tcp", 443, 443),
            ('media["udp"]', "udp", 40_000, 40_001),
        }
        # Rules of another form would escape this test.
        assert not [resource for resource in plan if resource["kind"] == "aws_security_group_rule"]
        assert not [group for group in of(plan, "aws_security_group") if group.get("ingress")]
        assert not any(
            service["network_configuration"][0]["assign_public_ip"] for service in of(plan, "aws_ecs_service")
        )


def test_everything_that_is_stored_or_sent_is_encrypted(plans: dict[str, list[dict[str, Any]]]) -> None:
    for plan in plans.values():
        for group in of(plan, "aws_elasticache_replication_group"):
            assert group["transit_encryption_enabled"] is True
            assert group["at_rest_encryption_enabled"] == "true"
        assert all(cluster["storage_encrypted"] for cluster in of(plan, "aws_docdb_cluster"))
        (template,) = of(plan, "aws_launch_template")
        assert template["block_device_mappings"][0]["ebs"][0]["encrypted"] == "true"
        (plain, encrypted) = sorted(of(plan, "aws_lb_listener"), key=lambda listener: listener["port"])
        assert plain["default_action"][0]["type"] == "redirect"
        assert encrypted["protocol"] == "HTTPS"
        (distribution,) = of(plan, "aws_cloudfront_distribution")
        assert distribution["origin"][0]["custom_origin_config"][0]["origin_protocol_policy"] == "https-only"
        assert distribution["default_cache_behavior"][0]["viewer_protocol_policy"] == "redirect-to-https"


def test_metadata_of_hosts_needs_a_session_token(plans: dict[str, list[dict[str, Any]]]) -> None:
    for plan in plans.values():
        (template,) = of(plan, "aws_launch_template")
        (options,) = template["metadata_options"]
        assert options["http_tokens"] == "required"


def test_production_is_in_two_zones_or_more(plans: dict[str, list[dict[str, Any]]]) -> None:
    zones = {subnet["availability_zone"] for subnet in of(plans["production"], "aws_subnet")}
    assert len(zones) >= 2
    for group in of(plans["production"], "aws_elasticache_replication_group"):
        assert group["multi_az_enabled"] is True
    assert len(of(plans["production"], "aws_docdb_cluster_instance")) >= 2
    assert all(target["min_capacity"] >= 2 for target in of(plans["production"], "aws_appautoscaling_target"))


def test_nothing_blocks_a_destroy_in_dev_and_production_refuses(plans: dict[str, list[dict[str, Any]]]) -> None:
    for name, protected in (("dev", False), ("production", True)):
        plan = plans[name]
        assert all(cluster["deletion_protection"] is protected for cluster in of(plan, "aws_docdb_cluster"))
        assert all(cluster["skip_final_snapshot"] is not protected for cluster in of(plan, "aws_docdb_cluster"))
        assert all(balancer["enable_deletion_protection"] is protected for balancer in of(plan, "aws_lb"))
        assert all(repository["force_delete"] is not protected for repository in of(plan, "aws_ecr_repository"))
        assert all(
            (secret["recovery_window_in_days"] > 0) is protected for secret in of(plan, "aws_secretsmanager_secret")
        )
        assert all(group["force_delete"] is not protected for group in of(plan, "aws_autoscaling_group"))


def test_every_name_begins_with_the_prefix_and_none_is_random(plans: dict[str, list[dict[str, Any]]]) -> None:
    attributes = ("name", "cluster_identifier", "identifier", "replication_group_id", "alarm_name")
    # Names within something that is named already, or that are not ours to choose.
    inner = {"aws_ecs_service", "aws_iam_role_policy", "aws_route53_record"}
    for name, prefix in (("dev", "headrace-dev"), ("production", "headrace")):
        for resource in plans[name]:
            if resource["kind"] in inner:
                continue
            for attribute in attributes:
                value = resource.get(attribute)
                assert value is None or value.lstrip("/").startswith(prefix), (resource["address"], value)
            assert not resource.get("name_prefix")


def test_the_pages_quote_what_the_calculator_says(whole_plans: dict[str, dict[str, Any]]) -> None:
    page = " ".join((ROOT / "docs" / "deploying.md").read_text(encoding="utf-8").split())
    (said,) = re.findall(
        r"production costs (\d+) USD, (\d+) of which are egress, ([\d.]+) per viewer\. .*? about ([\d,]+) USD a month, "
        r"in dev about (\d+), (\d+) of them for .*? viewers are ([\d,]+) packets/s, (\d+) cores",
        page,
    )
    outputs = {
        name: {key: plan["output_changes"][key]["after"] for key in ("cost", "capacity")}
        for name, plan in whole_plans.items()
    }
    cost, capacity = outputs["production"]["cost"], outputs["production"]["capacity"]
    assert [float(number.replace(",", "")) for number in said] == [
        round(cost["total_hour"]),
        round(cost["hour"]["egress"]),
        round(cost["per_viewer_hour"], 2),
        round(cost["idle_month"], -1),
        round(outputs["dev"]["cost"]["idle_month"], -1),
        round(outputs["dev"]["cost"]["hour"]["monitoring"] * 730, -1),
        capacity["packets_second"],
        capacity["cores"],
    ]


def test_the_calculators_page_quotes_what_was_measured(workspace: Workspace) -> None:
    page = (ROOT / "terraform" / "modules" / "capacity" / "README.md").read_text(encoding="utf-8")
    (example,) = _EXAMPLE.findall(page)
    plan = workspace.example(
        "capacity-quoted", example[1] + '\noutput "said" {\n  value = module.capacity.capacity\n}\n'
    )
    said = plan["output_changes"]["said"]["after"]
    measured = json.loads((ROOT / "terraform" / "capacity.json").read_text())["forwarding"]["packets_per_cpu_second"]
    assert (
        f"10,000 viewers are {said['packets_second'] / 1e6:.2f} M packets/s, at 60 % of the measured {measured:,} per "
        f"core {said['cores']} cores, {said['hosts']} hosts of two."
    ) in page


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_collectors_run_beside_the_functions_and_on_the_hosts(
    plans: dict[str, list[dict[str, Any]]], environment: str
) -> None:
    plan = plans[environment]
    repositories = {repository["name"].rpartition("/")[2] for repository in of(plan, "aws_ecr_repository")}
    assert repositories == {"functions", "sfu", "collector"}
    told = {alarm["alarm_name"] for alarm in of(plan, "aws_cloudwatch_metric_alarm")}
    assert any(name.endswith("service-down-signaling") for name in told)
    assert bool([one for one in plan if one["kind"] == "aws_prometheus_workspace"]) is (environment == "production")
