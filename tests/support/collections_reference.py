"""Writes the table of collections in docs/architecture.md from `shared.state.schema`: `task generate`."""

import re

from shared.stack import paths
from shared.state.schema import COLLECTIONS, CollectionSpec

PAGE = paths.ROOT / "docs" / "architecture.md"
_MARKED = re.compile(r"(<!-- collections -->\n).*?(\n<!-- end -->)", re.DOTALL)


def rendered(page: str) -> str:
    """The page with its table made anew."""
    rows = ["| collection | holds | indexes beside `_id` | shard key |", "|---|---|---|---|", *map(_row, COLLECTIONS)]
    table = "\n".join(rows)
    return _MARKED.sub(lambda match: f"{match[1]}{table}{match[2]}", page)


def _row(spec: CollectionSpec) -> str:
    indexes = []
    for index in spec.indexes:
        fields = ", ".join(field if direction == 1 else f"{field} falling" for field, direction in index.keys)
        indexes.append(f"`{fields}`{' (unique)' if index.unique else ''}: {index.serves}")
    key = ", ".join(f"`{field}`, {'by range' if kind == 1 else kind}" for field, kind in spec.shard_key.items())
    return f"| `{spec.name}` | {spec.holds} | {'; '.join(indexes) or 'none'} | {key}: {spec.shard_reason} |"


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
