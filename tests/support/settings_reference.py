"""Writes the tables of docs/configuration.md from the settings classes: `task generate`."""

import re

from functions.settings import Settings as FunctionSettings
from sfu_fleet.host.settings import Settings as HostSettings
from sfu_fleet.settings import Settings as WorkerSettings
from shared.settings import reference
from shared.stack import paths

PAGE = paths.ROOT / "docs" / "configuration.md"
_TABLES = {"functions": FunctionSettings, "sfu": WorkerSettings, "host": HostSettings}


def rendered(page: str) -> str:
    """The page with its tables made anew."""
    for name, cls in _TABLES.items():
        marked = re.compile(rf"(<!-- settings: {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        page = marked.sub(lambda match, cls=cls: f"{match[1]}{reference(cls)}{match[2]}", page)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
