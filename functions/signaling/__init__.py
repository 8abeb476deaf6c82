"""The signaling function: one WebSocket per participant, any room on any process."""
