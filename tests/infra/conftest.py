"""Terraform's workspace for the tests, or the reason why there is none."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.infra.terraform import ENVIRONMENTS, REQUIRED_VARIABLE, Unavailable, Workspace

LAYERS: dict[str, list[tuple[str, int]]] = {}
"""Of the images that were built: what each step of the last stage adds, in bytes."""


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the configuration, with the provider installed. Skips where it cannot be, or fails if it has to be."""
    try:
        workspace = Workspace(tmp_path_factory.mktemp("infra"))
        workspace.init(workspace.root / "environments" / ENVIRONMENTS[0])
    except Unavailable as error:
        cannot(str(error))
    return workspace


@pytest.fixture(scope="session", autouse=True)
def whole_life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[None]]:
    """What comes of an environment's whole life, which goes on in the background while the other tests here run."""
    wanted = any(item.path.name == "test_whole_life.py" for item in request.session.items)
    with ThreadPoolExecutor(1) as executor:
        yield executor.submit(_live if wanted else _nothing, tmp_path_factory.mktemp("whole-life"))


def _live(folder: Path) -> None:
    # Not at the top: what imitates AWS takes seconds to import.
    from tests.infra.test_whole_life import live  # noqa: PLC0415

    live(folder)


def _nothing(folder: Path) -> None:
    """Nobody asked."""


def cannot(reason: str) -> NoReturn:
    """Skip the test, with its reason in the summary; `task infra:test` asked for all of them, so there it fails."""
    if os.environ.get(REQUIRED_VARIABLE):
        pytest.fail(f"not run: {reason}", pytrace=False)
    pytest.skip(f"not run: {reason}")


def pytest_terminal_summary(terminalreporter: Any) -> None:  # noqa: ANN401 - pytest's reporter is private
    """Say plainly which parts of this folder ran, and which did not and why: a skipped part must not look checked."""
    parts: dict[str, Counter[str]] = {}
    reasons: set[str] = set()
    for outcome in ("passed", "failed", "error", "skipped"):
        of_ours = (one for one in terminalreporter.stats.get(outcome, ()) if one.nodeid.startswith("tests/infra/"))
        for report in of_ours:
            name, _, _ = report.nodeid.partition("::")
            parts.setdefault(name, Counter())["not run" if outcome == "skipped" else outcome] += 1
            if outcome == "skipped":
                reasons.add(report.longrepr[2].removeprefix("Skipped: "))
    if parts:
        terminalreporter.section("terraform/ and images: which parts ran")
    for name, outcomes in sorted(parts.items()):
        terminalreporter.line(f"{name}: {', '.join(f'{count} {outcome}' for outcome, count in outcomes.items())}")
    for reason in sorted(reasons):
        terminalreporter.line(reason)
    _report_layers(terminalreporter)


def _report_layers(terminalreporter: Any) -> None:  # noqa: ANN401 - see above
    for image, layers in LAYERS.items():
        terminalreporter.section(f"image {image}: {sum(size for _, size in layers) / 1e6:.0f} MB above its base image")
        for step, size in filter(itemgetter(1), layers):
            terminalreporter.line(f"{size / 1e6:8.2f} MB  {step[:100]}")
