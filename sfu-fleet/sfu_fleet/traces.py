"""Traces: what a viewer's adaptation was fed and what it decided, as JSON lines that `sfu_fleet.replay` reads."""

from pathlib import Path

import msgspec

from sfu_fleet.adaptation import Adaptation, Decision, Input


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: an input, or the decision that followed from the one before it."""

    input: Input | None = None
    decision: Decision | None = None


class RecordedAdaptation(Adaptation):
    """An adaptation that writes down all that it is fed. A decision makes the file complete up to it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        super().__init__()

    def feed(self, observed: Input) -> Decision | None:
        """Take an input; a decision, where it changes the layer."""
        decision = super().feed(observed)
        if not self._file.closed:
            self._write(Line(input=observed))
            if decision is not None:
                self._write(Line(decision=decision))
                self._file.flush()
        return decision

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _write(self, line: Line) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")
