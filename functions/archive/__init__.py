"""The archive function: room logs go to MongoDB, in the background of a process."""
