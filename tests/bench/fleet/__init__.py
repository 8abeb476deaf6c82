"""A rehearsal of the fleet: one room on six workers of three hosts, and one thing after another that goes wrong."""
