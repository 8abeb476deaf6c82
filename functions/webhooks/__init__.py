"""The webhooks: what happens in rooms is told to the servers of their owners, signed, again until it arrives."""
