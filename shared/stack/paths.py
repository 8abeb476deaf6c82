"""Where things are in a checkout."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STACK = ROOT / "shared" / "stack"
SFU_FLEET = ROOT / "sfu-fleet"
CLIENT = ROOT / "functions" / "web" / "client"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
DATA = ROOT / ".headrace"


def in_venv() -> bool:
    """Is this interpreter the checkout's own environment?"""
    return Path(sys.prefix).resolve() == VENV.resolve()


def shown(path: Path) -> str:
    """The path as a person would type it: relative to where the command was given, when that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
