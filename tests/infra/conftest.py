"""Terraform's workspace for the tests, or the reason why there is none."""

import os
from collections import Counter
from typing import Any, NoReturn

import pytest

from tests.infra.terraform import ENVIRONMENTS, REQUIRED_VARIABLE, Unavailable, Workspace


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the configuration, with the provider installed. Skips where it cannot be, or fails if it has to be."""
    try:
        workspace = Workspace(tmp_path_factory.mktemp("infra"))
        workspace.init(workspace.root / "environments" / ENVIRONMENTS[0])
    except Unavailable as error:
        cannot(str(error))
    return workspace


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
        for report in terminalreporter.stats.get(outcome, ()):
            name, _, _ = report.nodeid.partition("::")
            if not name.startswith("tests/infra/"):
                continue
            parts.setdefault(name, Counter())["not run" if outcome == "skipped" else outcome] += 1
            if outcome == "skipped":
                reasons.add(report.longrepr[2].removeprefix("Skipped: "))
    if parts:
        terminalreporter.section("terraform/ and images: which parts ran")
    for name, outcomes in sorted(parts.items()):
        terminalreporter.line(f"{name}: {', '.join(f'{count} {outcome}' for outcome, count in outcomes.items())}")
    for reason in sorted(reasons):
        terminalreporter.line(reason)
