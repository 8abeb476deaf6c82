"""Each fault by itself, while people talk: what they see of it, for how long, and what is left of it."""
