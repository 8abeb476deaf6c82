"""`python -m sfu_fleet.probe`: the HEALTHCHECK of a worker's container."""

import os
import sys

from shared.probe import exit_code

if __name__ == "__main__":
    host = os.environ.get("HEADRACE_SFU_CONTROL_HOST") or "127.0.0.1"
    sys.exit(exit_code(host, os.environ.get("HEADRACE_SFU_CONTROL_PORT") or "7900"))
