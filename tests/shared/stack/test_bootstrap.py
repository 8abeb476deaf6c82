"""What runs before anything is installed: the lock files, the standard library alone, stamps, Node, the client."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.stack import bootstrap, checks, commands, node, paths
from shared.stack.client import source_digest
from shared.stack.errors import CommandFailed
from shared.stack.progress import Progress


def pins(path: Path) -> set[str]:
    return {line.removesuffix(" \\") for line in path.read_text().splitlines() if re.match(r"[\w.-]+==", line)}


def test_what_up_installs_is_part_of_what_test_installs_in_the_same_versions() -> None:
    assert pins(bootstrap.RUN_REQUIREMENTS) < pins(bootstrap.DEV_REQUIREMENTS)


@pytest.mark.parametrize(
    "path", [bootstrap.RUN_REQUIREMENTS, bootstrap.DEV_REQUIREMENTS, *sorted(paths.STACK.glob("requirements-*.txt"))]
)
def test_a_lock_file_has_hashes_and_names_no_index(path: Path) -> None:
    text = path.read_text()
    assert pins(path)
    assert len(re.findall(r"^[\w.-]+==.* \\$", text, re.MULTILINE)) == len(pins(path))
    assert "://" not in text
    assert "--index" not in text


def test_the_command_line_works_without_any_package_installed() -> None:
    # -S: no site-packages, so that anything but the standard library would fail to import.
    shown = subprocess.run(
        [sys.executable, "-S", "-m", "shared.stack", "--help"],
        cwd=paths.ROOT,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "demo" in shown.stdout


def test_stages_survive_the_change_into_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Progress()
    with before.stage("python packages"):
        pass
    for name, value in before.carry().items():
        monkeypatch.setenv(name, value)
    after = Progress()
    assert after.started == before.started
    assert after.stages == before.stages
    assert "python packages" in after.table()


def test_a_failed_stage_is_shown_with_a_cross(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandFailed), Progress().stage("web client"):
        raise CommandFailed("no")
    assert capsys.readouterr().out.startswith("✗ web client 0.0 s")


def test_a_failing_program_gives_one_line_the_log_and_its_end(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"(?s)^npm ci failed \(exit code 3\); its output: .*log\n.*the reason"):
        commands.run_logged(
            [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"], log=tmp_path / "log", what="npm ci"
        )


def test_a_program_that_does_not_exist_or_does_not_end_is_a_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="could not be started"):
        commands.run_logged([str(tmp_path / "absent")], log=tmp_path / "log", what="it")
    with pytest.raises(CommandFailed, match="did not end within 0 s"):
        commands.run_logged(
            [sys.executable, "-c", "import time; time.sleep(9)"], log=tmp_path / "log", what="it", timeout_s=0.2
        )


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("v20.18.9", False),
        ("v20.19.0\n", True),
        ("v21.7.3", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.19.0", True),
        ("", False),
        ("node", False),
    ],
)
def test_node_is_new_enough_when_vite_says_so(version: str, enough: bool) -> None:
    assert node.is_new_enough(version) is enough


def test_the_client_is_built_again_when_its_source_changed_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.ts").write_text("1")
    digest = source_digest(tmp_path)
    for generated in ("node_modules", "dist"):
        (tmp_path / generated).mkdir()
        (tmp_path / generated / "x").write_text("generated")
    assert source_digest(tmp_path) == digest
    (tmp_path / "src" / "a.ts").rename(tmp_path / "src" / "b.ts")
    assert source_digest(tmp_path) != digest


def test_one_failed_check_fails_the_run_and_the_others_still_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def check(name: str, code: int) -> checks.Check:
        argv = (sys.executable, "-c", f"print('{name} ran', flush=True); raise SystemExit({code})")
        return checks.Check(name, argv, tmp_path, dict(os.environ))

    assert checks.run([check("lint", 1), check("tests", 0)]) == 1
    output = capfd.readouterr().out
    assert "tests ran" in output
    assert "✗ lint (exit code 1)" in output
    assert checks.run([check("tests", 0)]) == 0


def test_a_check_may_be_tried_once_more_and_the_summary_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def check(code: str, again: tuple[str, ...] | None) -> checks.Check:
        argv = (sys.executable, "-c", f"import sys; raise SystemExit({code})")
        return checks.Check("tests", argv, tmp_path, dict(os.environ), again=lambda _: again)

    assert checks.run([check("len(sys.argv) == 1", ("--last-failed",))]) == 0
    assert "at the second try" in capfd.readouterr().out
    assert checks.run([check("1", ("--last-failed",))]) == 1
    assert checks.run([check("1", None)]) == 1
    assert "second try" not in capfd.readouterr().out


@pytest.mark.parametrize(("failed", "exit_code", "again"), [(1, 1, True), (3, 1, True), (4, 1, False), (1, 2, False)])
def test_only_a_few_failed_tests_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: int, exit_code: int, again: bool
) -> None:
    cache = tmp_path / "lastfailed"
    cache.write_text(json.dumps(dict.fromkeys(map(str, range(failed)), True)))
    monkeypatch.setattr(checks, "_LAST_FAILED", cache)
    assert checks._few_tests_again(exit_code) == (("--last-failed",) if again else None)


def test_a_check_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    check = checks.Check("tests", (sys.executable, "-c", script), tmp_path, dict(os.environ))
    assert checks.run([check], limit_s=1.0) == 1
