"""A real Prometheus on the running stack: every metric is in a scrape, every query of a panel or a rule is answered."""

import asyncio
import json
import re
import shutil
import signal
import sys
import webbrowser
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml  # type: ignore[import-untyped]

from dashboards import boards
from dashboards.alerting import ALERTS, rules
from dashboards.expressions import promql
from dashboards.generate import FOLDER
from shared.stack import paths, probe, prometheus, targets
from shared.stack.errors import StackError
from shared.stack.observe import open_page
from shared.stack.observe import run as observe
from shared.stack.ports import free_ports
from shared.stack.stack import LocalStack
from shared.telemetry.catalogue import EVERY, FUNCTIONS, INTERPRETER, SFU, host
from shared.telemetry.metric import Metric
from tests.conftest import child_environ
from tests.dashboards import traffic

WINDOW = "10s"
# What only misfortune brings, or a client of another make.
SELDOM = {
    "headrace_sfu_call_errors_total",
    "headrace_task_failures_total",
    "sfu_refused_total",
    "sfu_layer_decisions_total",
}

needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")
Scrape = dict[str, list[dict[str, str]]]


@pytest_asyncio.fixture(scope="module")
async def busy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """A stack with Prometheus on it, after some traffic."""
    data = tmp_path_factory.mktemp("observed")
    async with LocalStack(data, functions=2, workers=1, environ=child_environ(), report=lambda _: None) as stack:
        if shutil.which("prometheus"):
            await stack.add(prometheus.spec(data, free_ports(1)[0], interval_s=1))
        await traffic.put_on(stack, seconds=8)
        yield stack


@pytest.fixture(scope="module")
def prometheus_url(busy: LocalStack) -> str:
    (address,) = [word for word in busy.process("prometheus").spec.argv if word.startswith("--web.listen-address=")]
    return f"http://{address.partition('=')[2]}"


async def test_every_metric_is_in_a_scrape_and_no_other_is(busy: LocalStack) -> None:
    for url, wanted in (
        (busy.functions[0].metrics_url, {*FUNCTIONS, *INTERPRETER}),
        (busy.workers[0].metrics_url, {*SFU, *INTERPRETER}),
    ):
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", await _text(url), re.MULTILINE))
        assert types == {metric.name: metric.kind for metric in wanted}


async def test_labels_are_those_that_are_defined_and_have_no_more_values_than_they_may(busy: LocalStack) -> None:
    for url in (busy.functions[0].metrics_url, busy.functions[1].metrics_url, busy.workers[0].metrics_url):
        found = _parsed(await _text(url))
        for metric in EVERY.values():
            _check_labels(metric, [labels for name in metric.series for labels in found.get(name, [])])


def _check_labels(metric: Metric, series: list[dict[str, str]]) -> None:
    for labels in series:
        assert set(labels) - {"le"} == set(metric.label_names), metric.name
    for label in metric.labels:
        values = {labels[label.name] for labels in series}
        assert len(values) <= label.bound, metric.name
        if label.values:
            assert values <= set(label.values), metric.name


async def test_what_happened_was_measured(busy: LocalStack) -> None:
    found = [_values(await _text(endpoint.metrics_url)) for endpoint in (*busy.functions, *busy.workers)]
    for name in (
        "headrace_rooms_created_total",
        "headrace_guests_created_total",
        "headrace_gifts_total",
        "headrace_viewers",
        "headrace_room_connections_max",
        "headrace_signaling_deliveries_total",
        "headrace_log_events_fanned_out_total",
        "headrace_archive_events_total",
        'headrace_placements_total{result="placed"}',
        'headrace_tokens_refused_total{code="token_refused"}',
        'headrace_dependency_up{dependency="redis"}',
        'headrace_dependency_up{dependency="mongodb"}',
        'headrace_mongodb_pool_connections{state="open"}',
        'headrace_mongodb_command_seconds_count{command="insert"}',
        "headrace_memory_limit_bytes",
        "headrace_memory_used_ratio",
        "headrace_cpu_used_ratio",
        'headrace_serves{function="archive"}',
        "sfu_capacity_packets_per_second",
        "sfu_packets_in_total",
        "sfu_packets_out_total",
        "sfu_watch_seconds_total",
    ):
        total = sum(values.get(name, 0.0) for values in found)
        assert total > 0 or name in {"headrace_viewers", "headrace_room_connections_max"}, name
    assert sum(values.get("headrace_gifts_total", 0.0) for values in found) == 2


async def test_the_public_ports_have_no_metrics(busy: LocalStack) -> None:
    ports = [endpoint.port for endpoint in (*busy.functions, *busy.workers)]
    ports += [endpoint.socket_port for endpoint in busy.functions]
    async with httpx.AsyncClient() as http:
        for url in (busy.url, *(f"http://127.0.0.1:{port}" for port in ports)):
            for path in ("/metrics", "/metrics/", "/"):
                answer = await http.get(url + path)
                assert "headrace_" not in answer.text, url
                assert "process_cpu" not in answer.text, url
            assert (await http.get(f"{url}/metrics")).status_code in {403, 404}, url


@needs_prometheus
async def test_prometheus_answers_every_query_of_every_panel(prometheus_url: str) -> None:
    empty: list[str] = []
    for dashboard in boards.ALL:
        for panel in dashboard.panels:
            for query in panel.queries:
                found = await _query(prometheus_url, promql(query.expression, WINDOW))
                names = {metric.name for metric in EVERY.values() if metric.name in promql(query.expression)}
                if not found and not names & SELDOM:
                    empty.append(f"{dashboard.name}: {panel.title}: {promql(query.expression, WINDOW)}")
    assert not empty


@needs_prometheus
async def test_prometheus_has_every_series_and_every_rule(prometheus_url: str) -> None:
    async with httpx.AsyncClient(base_url=prometheus_url) as http:
        stored = set((await http.get("/api/v1/label/__name__/values")).json()["data"])
        groups = (await http.get("/api/v1/rules")).json()["data"]["groups"]
        watched = (await http.get("/api/v1/targets")).json()["data"]["activeTargets"]
    # A stack on one machine has no agent of a host.
    elsewhere = SELDOM | {metric.name for metric in host.ALL}
    wanted = {series for metric in EVERY.values() if metric.name not in elsewhere for series in metric.series}
    assert wanted - stored == set()
    known = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in known if rule["type"] == "alerting"} == {alert.title for alert in ALERTS}
    assert [rule["lastError"] for rule in known if rule.get("lastError")] == []
    assert {target["labels"]["instance"]: target["health"] for target in watched} == {
        "function-1": "up",
        "function-2": "up",
        "worker-1": "up",
    }


@needs_prometheus
async def test_prometheus_answers_every_rule(prometheus_url: str) -> None:
    for rule in rules():
        await _query(prometheus_url, rule["expr"])


@needs_prometheus
async def test_what_a_collector_scrapes_is_named_by_its_task_or_host(busy: LocalStack, tmp_path: Path) -> None:
    """The collector is not here, but its scraping is Prometheus' own configuration."""
    (functions, *_), (worker, *_) = busy.functions, busy.workers
    scraped = [
        _scrape(
            "functions", functions.metrics_port, ECS_CONTAINER_METADATA_URI_V4="http://169.254.170.2/v4/0a1b2c-345"
        ),
        _scrape("sfu", worker.metrics_port, HEADRACE_PROCESS="i-0123"),
    ]
    (tmp_path / "prometheus.yml").write_text(json.dumps({"scrape_configs": scraped}))
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        prometheus.program("prometheus"),
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/series",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(30):
            while not await probe.http_ok(port, "/-/ready") or len(await _query(url, "up == 1")) < 2:
                await asyncio.sleep(0.2)
        found = {one["metric"]["service"]: one["metric"] for one in await _query(url, "headrace_draining")}
    finally:
        process.terminate()
        await process.wait()
    for service, name in (
        ("functions", f"0a1b2c-345-{functions.metrics_port}"),
        ("sfu", f"i-0123-{worker.metrics_port}"),
    ):
        labels = {
            "__name__": "headrace_draining",
            "job": service,
            "service": service,
            "process": name,
            "instance": name,
        }
        assert found[service] == labels


def _scrape(service: str, port: int, **environ: str) -> Any:  # noqa: ANN401 - a part of Prometheus' configuration
    """A collector's scraping as the collector fills it in: variables replaced, a doubled dollar single."""
    text = (FOLDER / "collector" / f"{service}-prometheus.yaml").read_text(encoding="utf-8")
    for name, value in {"HEADRACE_METRICS_TARGETS": f'["127.0.0.1:{port}"]', **environ}.items():
        text = text.replace(f"${{env:{name}}}", value)
    (config,) = yaml.safe_load(text.replace("$$", "$"))["receivers"]["prometheus/managed"]["config"]["scrape_configs"]
    return config | {"scrape_interval": "1s", "scrape_timeout": "1s"}


@needs_prometheus
async def test_observe_runs_until_it_is_told_to_stop(busy: LocalStack) -> None:
    program = "import asyncio, pathlib, sys; from shared.stack import observe"
    program += "; asyncio.run(observe.run(pathlib.Path(sys.argv[1]), None))"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", program, str(busy.data_dir)), cwd=paths.ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        line = (await process.stdout.readline()).decode()
        url = line.removeprefix("Prometheus runs at ").split()[0]
        async with httpx.AsyncClient(base_url=url, follow_redirects=True) as http:
            assert (await http.get("/")).status_code == 200
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    async with httpx.AsyncClient(base_url=url) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/")


@pytest.mark.parametrize(("screen", "opened"), [(True, ["http://127.0.0.1:1/"]), (False, [])])
def test_its_page_is_opened_where_there_is_a_screen(
    monkeypatch: pytest.MonkeyPatch, *, screen: bool, opened: list[str]
) -> None:
    found: list[str] = []
    monkeypatch.setattr(webbrowser, "open", found.append)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0") if screen else monkeypatch.delenv("DISPLAY", raising=False)
    open_page("http://127.0.0.1:1/")
    assert found == opened


async def test_there_is_nothing_to_observe_where_no_stack_runs(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no stack runs on"):
        await observe(tmp_path, None)
    (tmp_path / "lock").touch()
    with pytest.raises(StackError, match="no stack runs on"):
        await observe(tmp_path, None)


def test_a_scrape_finds_processes_by_what_the_stack_wrote(busy: LocalStack) -> None:
    text = targets.path(busy.data_dir).read_text(encoding="utf-8")
    for endpoint in (*busy.functions, *busy.workers):
        assert f'"127.0.0.1:{endpoint.metrics_port}"' in text


async def _text(url: str) -> str:
    async with httpx.AsyncClient() as http:
        response = await http.get(url)
    assert response.status_code == 200
    return response.text


def _parsed(text: str) -> Scrape:
    found: Scrape = {}
    for name, labels in re.findall(r"^([a-z_:]+)(\{[^}]*\})? ", text, re.MULTILINE):
        # A route's template has braces of its own.
        found.setdefault(name, []).append(dict(re.findall(r'([a-z_]+)="([^"]*)"', labels)))
    return found


def _values(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^([a-z_:]+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}


async def _query(url: str, expression: str) -> list[Any]:
    async with httpx.AsyncClient(base_url=url) as http:
        answer = (await http.get("/api/v1/query", params={"query": expression})).json()
    assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
    return list(answer["data"]["result"])
