"""`python -m shared.security`: make, rotate and show signing keys.

With `--file` the set is read from and written to that file, whole or not at all, readable by its owner only. Without it
the set comes in on standard input and goes out on standard output, for secrets that live elsewhere.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from shared.security.files import write_private
from shared.security.keys import ASYMMETRIC, Algorithm, KeyRing, generate_jwks
from shared.security.rotation import LEAD_S, OVERLAP_S, rotated


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit status."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "generate":
            _generate(given.algorithm, given.file)
        elif given.command == "rotate":
            _rotate(given)
        elif given.command == "public":
            _say(_read(given.file).public_jwks())
        else:
            _show(_read(given.file))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _generate(algorithm: Algorithm, file: Path | None) -> None:
    if file is not None and file.exists():
        message = f"{file} is there already: rotate it, or choose another name"
        raise ValueError(message)
    _write(file, generate_jwks(algorithm))


def _rotate(given: argparse.Namespace) -> None:
    ring = _read(given.file)
    present = ring.signing()
    algorithm: Algorithm = given.algorithm or (present.algorithm if present else "EdDSA")
    new = rotated(ring, algorithm, lead_s=given.lead, overlap_s=given.overlap)
    # The public set first: who verifies may know a key before anybody signs with it, never the other way around.
    if given.public is not None:
        write_private(given.public, new.public_jwks())
    _write(given.file, new.private_jwks())
    sys.stderr.write(_described(new))


def _show(ring: KeyRing) -> None:
    _say(_described(ring).rstrip("\n"))


def _described(ring: KeyRing) -> str:
    now = time.time()
    signing = ring.signing(now)
    lines = []
    for key in ring.keys.values():
        state = "signs" if key is signing else "verifies" if key.verifies_until > now else "is over"
        begins = f", signs from {_moment(key.signs_from)}" if key.signs_from > now else ""
        ends = f", until {_moment(key.verifies_until)}" if math.isfinite(key.verifies_until) else ""
        lines.append(f"{key.kid} {key.algorithm} {state}{begins}{ends}\n")
    return "".join(lines)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _read(file: Path | None) -> KeyRing:
    return KeyRing.from_jwks(file.read_text(encoding="utf-8") if file else sys.stdin.read(), insecure_hs256=True)


def _write(file: Path | None, document: str) -> None:
    if file is None:
        _say(document)
    else:
        write_private(file, document)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shared.security", description="Make, rotate and show signing keys."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("generate", "make a set with one new key"),
        ("rotate", "add a key that will sign, and say until when the present ones verify"),
        ("public", "print the set without private parts"),
        ("show", "say which key does what"),
    ):
        command = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        command.add_argument("--file", type=Path, help="the set; default standard input and output")
        if name in {"generate", "rotate"}:
            default: Algorithm | None = "EdDSA" if name == "generate" else None
            command.add_argument("--algorithm", choices=(*ASYMMETRIC, "HS256"), default=default)
        if name == "rotate":
            command.add_argument("--public", type=Path, help="file that gets the set without private parts as well")
            command.add_argument(
                "--lead", type=float, default=LEAD_S, help="seconds until the new key signs; every process must have it"
            )
            command.add_argument(
                "--overlap", type=float, default=OVERLAP_S, help="seconds that old keys verify after that"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
