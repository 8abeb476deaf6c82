"""Managed state: what is kept in Redis and in MongoDB, and the only code that knows its keys and collections."""
