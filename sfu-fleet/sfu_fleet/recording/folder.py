"""Recordings on this host's disk: a folder for each room; in it, for each recording, the file and a JSON document.

Several workers may share the folder. Who writes or uploads a file holds a lock on it (flock), which the kernel takes
away when that process ends in whatever way: so a file that nobody works on is told from one that somebody does.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from shared.state.recordings import Recording

CHUNK_BYTES = 256 * 1024

_HOST = "host-id"


class RecordingFolder:
    """Ids and rooms become names of files, so only letters, digits and hyphens are taken. Every method may block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Documents that were read, by their inode and time of change: a new one is a new file.
        self._documents: dict[Path, tuple[int, int, Recording]] = {}

    def host(self) -> str:
        """The id of this folder, by which functions know whose workers have its files; empty before its first file."""
        try:
            return (self._path / _HOST).read_text(encoding="ascii")
        except OSError:
            return ""

    def make(self) -> str:
        """Make the folder if it is not there; its id.

        Raises:
            OSError: it cannot be made.
        """
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.host():
            candidate = self._path / f"{_HOST}.{os.getpid()}"
            candidate.write_text(secrets.token_hex(8), encoding="ascii")
            try:
                # Of several workers that begin at once, one's id becomes that of all.
                (self._path / _HOST).hardlink_to(candidate)
            except FileExistsError:
                return self.host()
            finally:
                candidate.unlink()
        return self.host()

    def create(self, recording: Recording) -> BinaryIO:
        """A new file, locked, and its document. It is unbuffered: what is written is the kernel's, and outlives us.

        Raises:
            OSError: the folder cannot be written to.
        """
        self._room(recording.room).mkdir(parents=True, exist_ok=True, mode=0o700)
        # Owned by whoever writes into it, for as long as the recording lasts.
        file = self._file(recording).open("x+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.note(recording)
        except OSError:
            file.close()
            raise
        return file

    def take(self, recording: Recording) -> BinaryIO | None:
        """The file, locked; None when somebody else has it, or when it or its document is gone."""
        try:
            file = self._file(recording).open("r+b", buffering=0)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        if not self.wanted(recording):
            file.close()
            return None
        return file

    def note(self, recording: Recording) -> Recording:
        """Remember what is known of a recording now, as a new revision. It is never seen half written."""
        noted = msgspec.structs.replace(recording, revision=recording.revision + 1)
        document = self._document(noted)
        unfinished = document.with_suffix(".tmp")
        unfinished.write_bytes(msgspec.json.encode(noted))
        unfinished.replace(document)
        return noted

    def wanted(self, recording: Recording) -> bool:
        """Whether the recording has not been deleted."""
        return self._document(recording).exists()

    def all(self) -> list[Recording]:
        """All recordings, oldest first."""
        return self._listed("*/*.json")

    def of_room(self, room: str) -> list[Recording]:
        """Those of a room, oldest first."""
        return self._listed(f"{room}/*.json") if _is_name(room) else []

    def find(self, room: str, identifier: str) -> Recording | None:
        """The recording with that id."""
        if not _is_name(room) or not _is_name(identifier):
            return None
        return self._load(self._path / room / f"{identifier}.json")

    def size(self, recording: Recording) -> int:
        """Bytes of the file now; 0 when there is none."""
        try:
            return self._file(recording).stat().st_size
        except OSError:
            return 0

    def changed_at(self, recording: Recording) -> datetime:
        """When the file was last written to.

        Raises:
            OSError: there is none.
        """
        return datetime.fromtimestamp(self._file(recording).stat().st_mtime, UTC)

    def read(self, recording: Recording, first: int, count: int) -> Iterator[bytes]:
        """Bytes of the file, in pieces. It is open when this returns: what happens to its name then does not matter.

        Raises:
            FileNotFoundError: there is none.
        """
        return _pieces(self._file(recording).open("rb"), first, count)

    def drop_file(self, recording: Recording) -> None:
        """Delete the file and keep the document."""
        self._file(recording).unlink(missing_ok=True)

    def remove(self, recording: Recording) -> None:
        """Delete the document, by which whoever works on the file sees that it is not wanted any more, and the file."""
        document = self._document(recording)
        document.unlink(missing_ok=True)
        self._documents.pop(document, None)
        self.drop_file(recording)

    def _listed(self, pattern: str) -> list[Recording]:
        found = [self._load(path) for path in self._path.glob(pattern)]
        return sorted((recording for recording in found if recording is not None), key=lambda known: known.started_at)

    def _load(self, document: Path) -> Recording | None:
        try:
            status = document.stat()
            inode, changed, known = self._documents.get(document, (0, 0, None))
            if known is not None and (inode, changed) == (status.st_ino, status.st_mtime_ns):
                return known
            known = msgspec.json.decode(document.read_bytes(), type=Recording)
        except (OSError, msgspec.DecodeError):
            self._documents.pop(document, None)
            return None
        self._documents[document] = (status.st_ino, status.st_mtime_ns, known)
        return known

    def _room(self, room: str) -> Path:
        if not _is_name(room):
            raise FileNotFoundError("a room's id has letters, digits and hyphens only")
        return self._path / room

    def _file(self, recording: Recording) -> Path:
        return self._room(recording.room) / recording.file

    def _document(self, recording: Recording) -> Path:
        return self._room(recording.room) / f"{recording.id}.json"


def _pieces(file: BinaryIO, first: int, count: int) -> Iterator[bytes]:
    with file:
        file.seek(first)
        while count > 0:
            piece = file.read(min(CHUNK_BYTES, count))
            if not piece:
                return
            count -= len(piece)
            yield piece


def _is_name(text: str) -> bool:
    return text.isascii() and text.replace("-", "").isalnum()
