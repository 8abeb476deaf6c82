"""`python -m functions.probe`: the HEALTHCHECK of a function's container."""

import os
import sys

from shared.probe import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(os.environ.get("HEADRACE_HOST") or "127.0.0.1", os.environ.get("HEADRACE_PORT") or "8000"))
