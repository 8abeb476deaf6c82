"""The wire protocol between clients and signaling: see SPEC.md beside this file."""
