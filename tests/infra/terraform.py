"""Terraform as the tests use it: where the program and the provider are, and a copy of the configuration to work in.

The provider comes from a mirror on this machine if there is one, else from wherever plain `terraform init` finds it.
"""

import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from shared.stack.paths import ROOT

REQUIRED_VARIABLE = "HEADRACE_INFRA_REQUIRED"  # set: what cannot run fails instead of being skipped
MIRROR_VARIABLE = "HEADRACE_TERRAFORM_MIRROR"
PROVIDER = "registry.terraform.io/hashicorp/aws/5.100.0"
MODULES = ("network", "state", "functions", "sfu-fleet", "monitoring", "capacity")
ENVIRONMENTS = ("dev", "production")

MOCKS = Path(__file__).with_name("environment.tftest.hcl")

# Without it the mocked provider stands for another one than the modules'.
_PROVIDER = 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
_INSTALL_TIMEOUT_S = 300.0
_TIMEOUT_S = 900.0


class Unavailable(Exception):  # noqa: N818 - the state that it tells of
    """Terraform cannot be run here; the message says why."""


def program() -> str:
    """The path of terraform.

    Raises:
        Unavailable: it is not installed.
    """
    found = shutil.which("terraform")
    if found is None:
        raise Unavailable("terraform is not installed (version 1.9 or newer)")
    return found


def mirror() -> Path | None:
    """A folder tree of providers that holds ours: the one that is named, or one in the places where they are kept."""
    if named := os.environ.get(MIRROR_VARIABLE):
        return Path(named)
    return next((place for place in _places() if (place / PROVIDER / _platform()).is_dir()), None)


def _places() -> Iterator[Path]:
    if cache := os.environ.get("TF_PLUGIN_CACHE_DIR"):
        yield Path(cache)
    home = Path.home()
    # Terraform's own implied mirrors (CLI configuration, "Implied Local Mirror Directories"), and a cache.
    yield from (home / ".terraform.d" / "plugins", home / ".terraform.d" / "plugin-cache")
    yield from (home / ".local/share/terraform/plugins", Path("/usr/local/share/terraform/plugins"))
    yield Path("/usr/share/terraform/plugins")
    # What people install by hand.
    for folder in (Path("/opt"), Path("/usr/local"), Path("/srv"), Path("/var/lib")):
        yield from chain(folder.glob("*"), folder.glob("*/*"))


def _platform() -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}_{machine}"


class Workspace:
    """A copy of terraform/ and dashboards/, so that a checkout stays as it is."""

    def __init__(self, folder: Path, *, environ: Mapping[str, str] | None = None) -> None:
        self.root = folder / "terraform"
        self._program = program()
        self._mirror = mirror()
        self._initialised: set[Path] = set()
        # A user's own configuration may name a mirror that has other providers; Checkpoint would call home.
        self._environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "CHECKPOINT_DISABLE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            **({"TF_CLI_CONFIG_FILE": os.devnull} if self._mirror else _own_configuration()),
            **(environ or {}),
        }
        ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars", "backend.tf")
        shutil.copytree(ROOT / "terraform", self.root, ignore=ignored)
        if (ROOT / "dashboards").is_dir():
            shutil.copytree(ROOT / "dashboards", folder / "dashboards")

    def init(self, folder: Path) -> None:
        """Install the provider for a configuration, once.

        Raises:
            Unavailable: there is no mirror, and no way to where `terraform init` would get it.
        """
        if folder in self._initialised:
            return
        plugins = [f"-plugin-dir={self._mirror}"] if self._mirror else []
        done = self.run(folder, "init", "-backend=false", *plugins, check=False, timeout_s=_INSTALL_TIMEOUT_S)
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip()[-800:]
            hint = "" if self._mirror else f" (no mirror was found either; {MIRROR_VARIABLE} may name one)"
            raise Unavailable(f"terraform init failed{hint}: {reason}")
        self._initialised.add(folder)

    def run(
        self, folder: Path, command: str, *arguments: str, check: bool = True, timeout_s: float = _TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run terraform in a folder; with `check`, an exit code other than 0 fails the test with what was printed."""
        # To files: a plan as JSON is megabytes, and a provider that outlives terraform would hold a pipe open.
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            code = subprocess.run(
                [self._program, command, *([] if command == "fmt" else ["-no-color"]), *arguments],
                cwd=folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                timeout=timeout_s,
                check=False,
            ).returncode
            output.seek(0)
            errors.seek(0)
            done = subprocess.CompletedProcess((command, *arguments), code, output.read(), errors.read())
        if check and code != 0:
            raise AssertionError(f"terraform {command} in {folder.name}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
        return done

    def planned(self, folder: Path) -> dict[str, Any]:
        """The plan that a configuration's only test makes; mocked, so nothing is asked of anybody."""
        self.init(folder)
        lines = self.run(folder, "test", "-json", "-verbose").stdout.splitlines()
        (plan,) = [line["test_plan"] for line in map(json.loads, lines) if line["type"] == "test_plan"]
        return dict(plan)

    def example(self, name: str, text: str) -> dict[str, Any]:
        """The plan of a configuration that stands beside `modules`."""
        folder = self.root / "examples" / name
        (folder / "tests").mkdir(parents=True)
        (folder / "main.tf").write_text(_PROVIDER + text.replace('"./modules/', '"../../modules/'), encoding="utf-8")
        mocks = MOCKS.read_text(encoding="utf-8").partition("\nvariables {")[0]
        if "us_east_1" not in text:
            mocks = mocks.partition('\nmock_provider "aws" {\n  alias')[0]
        run = '\nrun "example" {\n  command = plan\n}\n'
        (folder / "tests" / "example.tftest.hcl").write_text(mocks + run, encoding="utf-8")
        return self.planned(folder)


def _own_configuration() -> dict[str, str]:
    named = os.environ.get("TF_CLI_CONFIG_FILE")
    return {"TF_CLI_CONFIG_FILE": named} if named and Path(named).is_file() else {}
