"""Where recordings lie: the port, and its implementation in a folder."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import msgspec

RecordingState = Literal["recording", "complete", "interrupted", "failed"]

CHUNK_BYTES = 256 * 1024


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a recording. Interrupted is one whose worker ended before it could finish the file."""

    id: str
    room: str
    started_at: datetime
    state: RecordingState
    media_type: str
    file: str
    codecs: list[str]
    duration_s: float = 0.0
    bytes: int = 0
    dropped_frames: int = 0


class Storage(Protocol):
    """Keeps files and what is known of them. Every method may block: none is called on the event loop."""

    def create(self, recording: Recording) -> BinaryIO:
        """A new file that can be written to and seeked in, what is written being safe from the end of this process."""

    def note(self, recording: Recording) -> None:
        """Remember what is known of a recording now."""

    def of_room(self, room: str) -> list[Recording]:
        """The recordings of a room, oldest first; their sizes are those of the files now."""

    def find(self, identifier: str) -> Recording | None:
        """The recording with that id."""

    def read(self, recording: Recording, first: int, count: int) -> Iterator[bytes]:
        """Bytes of the file."""


class LocalStorage:
    """A folder for each room; in it, for each recording, the file and beside it a JSON document about it.

    Ids and rooms become names of files, so only letters, digits and hyphens are taken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, recording: Recording) -> BinaryIO:
        """Open the file unbuffered: what is written is the kernel's, and outlives us.

        Raises:
            OSError: the folder cannot be written to.
        """
        self._room(recording.room).mkdir(parents=True, exist_ok=True, mode=0o700)
        self.note(recording)
        # Owned by whoever writes into it, for as long as the recording lasts.
        return (self._room(recording.room) / recording.file).open("xb", buffering=0)

    def note(self, recording: Recording) -> None:
        """Replace the document at once, so that it is never seen half written."""
        document = self._document(recording)
        unfinished = document.with_suffix(".tmp")
        unfinished.write_bytes(msgspec.json.encode(recording))
        unfinished.replace(document)

    def of_room(self, room: str) -> list[Recording]:
        """Read the documents of a room."""
        folder = self._room(room)
        found = [self._load(path) for path in folder.glob("*.json")] if _is_name(room) else []
        return sorted((recording for recording in found if recording is not None), key=lambda known: known.started_at)

    def find(self, identifier: str) -> Recording | None:
        """Look in all rooms."""
        if not _is_name(identifier):
            return None
        return next((self._load(path) for path in self._folder.glob(f"*/{identifier}.json")), None)

    def read(self, recording: Recording, first: int, count: int) -> Iterator[bytes]:
        """Read in pieces."""
        with (self._room(recording.room) / recording.file).open("rb") as file:
            file.seek(first)
            while count > 0:
                piece = file.read(min(CHUNK_BYTES, count))
                if not piece:
                    return
                count -= len(piece)
                yield piece

    def _load(self, document: Path) -> Recording | None:
        try:
            recording = msgspec.json.decode(document.read_bytes(), type=Recording)
            status = (document.parent / recording.file).stat()
        except (OSError, msgspec.DecodeError):
            return None
        known = msgspec.structs.replace(recording, bytes=status.st_size)
        if known.state == "recording":
            # The document is written at the start and at the end only: in between the file says how long it is.
            elapsed = status.st_mtime - known.started_at.timestamp()
            known = msgspec.structs.replace(known, duration_s=round(max(0.0, elapsed), 1))
        return known

    def _room(self, room: str) -> Path:
        if not _is_name(room):
            raise FileNotFoundError("a room's id has letters, digits and hyphens only")
        return self._folder / room

    def _document(self, recording: Recording) -> Path:
        return self._room(recording.room) / f"{recording.id}.json"


def _is_name(text: str) -> bool:
    return text.isascii() and text.replace("-", "").isalnum()
