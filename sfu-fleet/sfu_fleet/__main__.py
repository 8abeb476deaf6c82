"""`python -m sfu_fleet`: one worker, configured by its environment."""

import asyncio
import sys

import uvloop

from sfu_fleet.settings import Settings
from sfu_fleet.worker import run
from shared.settings import SettingsError, load
from shared.telemetry.logs import configure_logging


def main() -> int:
    """Run the worker; the exit code is 0 after a drain, 2 for a wrong configuration, 1 when it cannot start."""
    try:
        settings = load(Settings)
    except SettingsError as error:
        sys.stderr.write(f"sfu_fleet: {error}\n")
        return 2
    configure_logging(format=settings.log_format, level=settings.log_level, worker=settings.instance)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(run(settings))
        except SettingsError as error:
            sys.stderr.write(f"sfu_fleet: {error}\n")
            return 2
        except OSError as error:
            sys.stderr.write(f"sfu_fleet: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
