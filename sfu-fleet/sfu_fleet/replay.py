"""`python -m sfu_fleet.replay FILE`: whether a recorded viewer's inputs give the same decisions again."""

import sys
from pathlib import Path

import msgspec

from sfu_fleet.adaptation import Adaptation, Decision
from sfu_fleet.traces import Line


class ReplayDiffersError(Exception):
    """The same inputs gave other decisions; the message names the line."""


def replay(lines: bytes) -> list[Decision]:
    """Feed a trace to a new adaptation; its decisions.

    Raises:
        ReplayDiffersError: they are not those of the trace.
        msgspec.MsgspecError: it is not a trace.
    """
    adaptation = Adaptation()
    decisions: list[Decision] = []
    due: Decision | None = None
    number = 0
    for number, text in enumerate(lines.splitlines(), 1):
        line = msgspec.json.decode(text, type=Line)
        if line.decision is not None:
            if line.decision != due:
                raise ReplayDiffersError(f"line {number}: recorded {line.decision}, decided {due}")
            due = None
        if line.input is not None:
            if due is not None:
                break
            due = adaptation.feed(line.input)
            if due is not None:
                decisions.append(due)
    if due is not None:
        raise ReplayDiffersError(f"line {number}: decided {due}, of which nothing is recorded")
    return decisions


def main(path: str) -> None:
    """Replay a file and print each decision.

    Raises:
        SystemExit: the outcome differs, or the file cannot be read.
    """
    try:
        decisions = replay(Path(path).read_bytes())
    except (ReplayDiffersError, msgspec.MsgspecError, OSError) as error:
        sys.exit(f"replay: {error}")
    for decision in decisions:
        sys.stdout.write(f"{decision.at:.3f} {decision.before} -> {decision.layer}: {decision.reason.value}\n")
    sys.stdout.write(f"the same {len(decisions)} decisions\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m sfu_fleet.replay FILE")
    main(sys.argv[1])
