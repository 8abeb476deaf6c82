"""What a running process says about itself: logs, metrics, problems."""
