"""A participant of a room in Python: see `shared.client.connection`. Needs the extra `client`."""
