"""The cache in three levels: in the process, in a Valkey that may forget, and what the repositories read.

`cache` has the port: `Cache.family` makes a reader of one kind of thing, `Cache.invalidate` is for whoever writes it.
"""
