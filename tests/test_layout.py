"""The top folders are the architecture, and the pages say what the code says."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from shared.protocol.messages import MAX_FRAME_BYTES
from shared.stack import paths
from tests.support import collections_reference, settings_reference

ROOT = paths.ROOT
MAY_IMPORT = {
    "functions": {"functions", "shared"},
    "sfu-fleet/sfu_fleet": {"sfu_fleet", "shared"},
    "shared": {"shared"},
    "dashboards": {"dashboards", "shared"},
}
OURS = {"dashboards", "functions", "sfu_fleet", "shared", "tests"}


def _imported(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        if "node_modules" in path.parts:
            continue
        foreign = (_imported(path.read_text(encoding="utf-8")) & OURS) - MAY_IMPORT[folder]
        assert not foreign, f"{path} imports {foreign}"


def test_the_table_of_settings_is_that_of_the_code() -> None:
    page = settings_reference.PAGE.read_text(encoding="utf-8")
    assert settings_reference.rendered(page) == page


def test_the_table_of_collections_is_that_of_the_code() -> None:
    page = collections_reference.PAGE.read_text(encoding="utf-8")
    assert collections_reference.rendered(page) == page


@pytest.mark.parametrize("page", [*sorted(path.name for path in ROOT.glob("*.md")), "docs"])
def test_every_link_in_the_pages_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for file in [path] if path.is_file() else path.rglob("*.md"):
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", file.read_text(encoding="utf-8")):
            assert (file.parent / target).exists(), f"{file}: {target}"


def test_dependencies_are_pinned_exactly_and_locked_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    lock = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    for requirement in direct:
        name, version = re.fullmatch(r"([a-z0-9-]+)(?:\[[a-z]+\])?==([^;\s]+)(?:;.*)?", requirement).groups()  # type: ignore[union-attr]
        assert re.search(rf"^{name}=={re.escape(version)}[ ;]", lock, re.MULTILINE), requirement
    assert "--hash=sha256:" in lock
    assert "://" not in lock


def test_there_are_at_most_a_dozen_verbs() -> None:
    text = (ROOT / "Taskfile.yml").read_text(encoding="utf-8")
    assert 1 <= len(re.findall(r"^  [a-z:-]+:$", text, re.MULTILINE)) <= 12


def test_the_specification_names_the_limit_of_the_code() -> None:
    text = (ROOT / "shared" / "protocol" / "SPEC.md").read_text(encoding="utf-8")
    assert f"{MAX_FRAME_BYTES:,} bytes" in text


def test_ci_runs_readmes_test_command_and_nothing_else() -> None:
    command = "python3 -m shared.stack test"
    assert f"\n{command}\n" in Path(ROOT / "README.md").read_text(encoding="utf-8")
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [
        "set -euo pipefail",
        'cd "$(dirname "$0")/.."',
        f"exec {command}",
    ]
