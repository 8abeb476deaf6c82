"""Faults are looked at through the same browsers as everything else."""

from tests.e2e.conftest import browser, people

__all__ = ["browser", "people"]
