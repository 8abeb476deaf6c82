"""Where the sessions of the fleet go: what is known of workers and rooms, and the decisions made of it.

Nothing here reads a clock or a socket. A decision is a generator that says what it wants to know or to have done,
and is told; `shared.state.fleet` drives it against Redis, where one script per step commits atomically, and the
placement simulator drives the same code against a model.
"""
