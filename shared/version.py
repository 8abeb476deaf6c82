"""The version of what runs; the same as pyproject.toml's, which is not there in an image."""

VERSION = "0.1.0"
