"""The SFU fleet: workers that forward media from one publisher to many viewers without ever decoding it."""
