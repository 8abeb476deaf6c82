"""The images, as far as they can be had without Docker: linted, and built step by step in a folder.

The rehearsal reads the Dockerfiles themselves: it copies what they copy (through .dockerignore), runs what they run,
with absolute paths moved below a folder of each stage, and starts what they start with their environment alone, as a
user without rights where the machine's Python can be read by one. What it cannot show is the base images: Python and
Node are this machine's.
"""

import asyncio
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from shared.probe import answers
from shared.security.keys import generate_jwks
from shared.stack.paths import ROOT
from shared.stack.ports import free_ports
from shared.stack.stack import LocalStack
from tests.infra.conftest import LAYERS
from tests.infra.dockerfile import Dockerfile, Rehearsal, exactly_tagged

DOCKERFILES = {"functions": ROOT / "functions" / "Dockerfile", "sfu": ROOT / "sfu-fleet" / "Dockerfile"}

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("image", DOCKERFILES)
def test_a_dockerfile_has_no_findings(image: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), DOCKERFILES[image]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("image", DOCKERFILES)
def test_an_image_is_pinned_unprivileged_and_says_how_it_is(image: str) -> None:
    dockerfile = Dockerfile.read(DOCKERFILES[image])
    assert all(exactly_tagged(stage.base) for stage in dockerfile.stages)
    last = dockerfile.stages[-1]
    assert last.user == "10001:10001"
    assert last.health_check is not None
    assert last.command[:2] == ["python", "-m"]  # process 1 is ours, not a shell
    assert any("--require-hashes" in step.text for stage in dockerfile.stages for step in stage.steps)


def test_compose_names_images_exactly_and_waits_for_what_is_needed() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"valkey", "cache", "mongodb", "migrate", "functions", "sfu"}
    assert all(exactly_tagged(service["image"]) for service in services.values())
    for name in ("functions", "sfu"):
        assert (ROOT / services[name]["build"]["dockerfile"]).is_file()
        assert services[name]["depends_on"]["valkey"] == {"condition": "service_healthy"}
        assert services[name]["read_only"] is True
    assert services["functions"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["migrate"]["image"] == services["functions"]["image"]
    assert "noeviction" in services["valkey"]["command"]
    assert "allkeys-lru" in services["cache"]["command"]
    # Nothing but the page and media is open, and no variable is misspelt.
    assert [name for name, service in services.items() if "ports" in service] == ["functions", "sfu"]


@pytest.fixture(scope="module")
def rehearsals() -> Iterator[dict[str, Rehearsal]]:
    """Both images, built."""
    # Not below pytest's own folder, which it keeps to one user: layers are for every user to read.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = {name: Rehearsal(Dockerfile.read(path), ROOT, Path(folder) / name) for name, path in DOCKERFILES.items()}
        # Side by side: each waits for its packages for half of the time.
        with ThreadPoolExecutor() as pool:
            list(pool.map(Rehearsal.build, made.values()))
        LAYERS.update({name: rehearsal.layers for name, rehearsal in made.items()})
        yield made


@asynccontextmanager
async def started(rehearsal: Rehearsal, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The container's process 1."""
    process = await asyncio.create_subprocess_exec(
        *rehearsal.command(), env=rehearsal.environ(**environ), cwd=rehearsal.workdir, user=rehearsal.user
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def healthy(rehearsal: Rehearsal, **environ: str) -> None:
    """Return when the image's own HEALTHCHECK says so."""
    async with asyncio.timeout(40):
        while True:
            check = await asyncio.create_subprocess_exec(
                *rehearsal.health_check(), env=rehearsal.environ(**environ), cwd=rehearsal.workdir, user=rehearsal.user
            )
            if await check.wait() == 0:
                return
            await asyncio.sleep(0.2)


async def ready(port: int) -> None:
    async with asyncio.timeout(40):
        while not await answers("127.0.0.1", port, "/health/ready"):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("image", DOCKERFILES)
def test_an_image_is_about_as_large_as_its_page_says(rehearsals: dict[str, Rehearsal], image: str) -> None:
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    (said,) = re.findall(rf"^\| {image} \| (\d+) MB", page, re.MULTILINE)
    (packages,) = [size for step, size in rehearsals[image].layers if step.endswith("/opt/venv /opt/venv")]
    assert packages / 1e6 == pytest.approx(float(said), rel=0.1)


def test_the_rehearsal_runs_as_nobody_in_particular(rehearsals: dict[str, Rehearsal]) -> None:
    image = rehearsals["functions"]
    if image.user is None:
        pytest.skip("not root here, or no Python that every user may run: the images run as this user")
    done = subprocess.run(
        [image.command()[0], "-c", "import os; print(os.getuid())"], user=image.user, stdout=-1, check=True
    )
    assert done.stdout.strip() == b"10001"


async def test_the_function_image_serves_the_client_and_drains(
    rehearsals: dict[str, Rehearsal], state: LocalStack
) -> None:
    image = rehearsals["functions"]
    (port,) = free_ports(1)
    environ = {
        "REDIS_URL": state.redis_url,
        "MONGODB_URI": state.mongodb_uri,
        "HEADRACE_JWT_KEYS": generate_jwks(),
        "HEADRACE_PORT": str(port),
        "HEADRACE_HOST": "127.0.0.1",
    }
    async with started(image, **environ) as process:
        await healthy(image, HEADRACE_PORT=str(port), HEADRACE_HOST="127.0.0.1")
        await ready(port)
        assert await answers("127.0.0.1", port, "/")  # 503 if the client were not in the image
        assert await answers("127.0.0.1", port, "/openapi.json")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0


async def test_the_sfu_image_has_its_plane_compiled_and_drains(
    rehearsals: dict[str, Rehearsal], state: LocalStack
) -> None:
    image = rehearsals["sfu"]
    (port,) = free_ports(1)
    environ = {
        "REDIS_URL": state.redis_url,
        "HEADRACE_JWT_KEYS": generate_jwks(),
        "HEADRACE_INSTANCE": "rehearsal",
        "HEADRACE_SFU_CONTROL_PORT": str(port),
        "HEADRACE_SFU_MEDIA_HOST": "127.0.0.1",
        "CC": "/nonexistent/cc",  # what is not compiled by now never will be: the image asks for the native plane
    }
    async with started(image, **environ) as process:
        await healthy(image, HEADRACE_SFU_CONTROL_PORT=str(port))
        await ready(port)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0


async def test_the_sfu_image_has_what_a_host_needs(rehearsals: dict[str, Rehearsal]) -> None:
    image = rehearsals["sfu"]
    done = await asyncio.create_subprocess_exec(
        "python",
        "-c",
        "import sfu_fleet.host.__main__, sfu_fleet.host.aws",
        env=image.environ(),
        cwd=image.workdir,
        user=image.user,
    )
    assert await done.wait() == 0
