"""`python -m tests.infra`, which is `task infra:test`: every check of terraform/ and the images; what cannot run fails.

In the project's test command the same tests are skipped, with the reason, on a machine without Terraform.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.infra.terraform import MIRROR_VARIABLE, REQUIRED_VARIABLE, Unavailable, mirror, program


def main() -> int:
    """Say what is used, then run."""
    os.environ[REQUIRED_VARIABLE] = "1"
    try:
        sys.stdout.write(f"terraform: {program()}\n")
    except Unavailable as error:
        sys.stderr.write(f"infra:test cannot run: {error}\n")
        return 1
    place = mirror()
    sys.stdout.write(f"provider: {place or f'by terraform init ({MIRROR_VARIABLE} may name a mirror)'}\n")
    return int(pytest.main([str(Path(__file__).parent), "--durations=5", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
