"""What functions and the SFU fleet have in common: protocol, state, security, telemetry, settings."""
