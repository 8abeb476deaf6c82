import tomllib

from shared.stack.paths import ROOT
from shared.version import VERSION


def test_what_runs_and_what_is_packaged_have_one_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
