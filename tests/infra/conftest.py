"""Terraform's workspace for the tests, or the reason why there is none."""

import os
from pathlib import Path
from typing import NoReturn

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


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that other users may read, as the layers of an image are."""
    made = tmp_path_factory.mktemp("image")
    for part in (made, *made.parents):
        if part.stat().st_uid == os.getuid() and part != Path("/"):
            part.chmod(part.stat().st_mode | 0o055)
    return made
