"""Tokens for those who operate the fleet: `python -m shared.security.operators NAME` prints one.

It signs with the platform's own keys, so whoever may read these (a secret of the deployment; on a developer's machine
the stack's data folder) may operate the fleet, and nobody else.
"""

import argparse
import os
import sys
from pathlib import Path

from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_FLEET, Claims, Grant, TokenError, Tokens

KEYS = "HEADRACE_JWT_KEYS"
LONGEST_H = 12


def sign_operator(tokens: Tokens, name: str, lifetime_s: int) -> str:
    """A token with which `name` may call the fleet's API.

    Raises:
        TokenRefused: this process has only public keys.
    """
    claims = Claims(sub=name, name=name, grants=frozenset({Grant.OPERATE}))
    return tokens.sign(claims, audience=AUDIENCE_FLEET, lifetime_s=lifetime_s)


def main(arguments: list[str] | None = None) -> int:
    """Print a token; the exit code is 2 where that cannot be."""
    options = _parser().parse_args(arguments)
    if not options.keys and not os.environ.get(KEYS):
        sys.stderr.write(f"operators: {KEYS} is not set: give the platform's key set there, or a file with --keys\n")
        return 2
    try:
        document = options.keys.read_text(encoding="utf-8") if options.keys else os.environ[KEYS]
        token = sign_operator(Tokens(KeyRing.from_jwks(document)), options.name, round(options.hours * 3600))
    except (OSError, ValueError, TokenError) as error:
        sys.stderr.write(f"operators: {error}\n")
        return 2
    sys.stdout.write(f"{token}\n")
    return 0


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 < hours <= LONGEST_H:
        raise argparse.ArgumentTypeError(f"more than 0 and at most {LONGEST_H}")
    return hours


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shared.security.operators", description="Print a fleet token.")
    parser.add_argument("name", help="whose it is: it stands in the log beside what they do")
    parser.add_argument("--hours", type=_hours, default=8.0, help=f"how long it is good for, at most {LONGEST_H}")
    parser.add_argument("--keys", type=Path, help=f"file with the platform's key set; default {KEYS}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
