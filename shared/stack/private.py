"""Files that only the user who runs the stack may read."""

from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write at once and whole, never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_bytes(content)
    temporary.replace(path)
