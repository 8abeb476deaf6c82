"""The API function: guests, rooms, tokens, and media over WHIP and WHEP."""
