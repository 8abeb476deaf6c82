"""The web function: the built client, beside the source that it is built from."""
