"""The type of a MongoDB document at the driver's edge; everything inside is a msgspec struct."""

from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
