"""A host of the fleet: `python -m sfu_fleet.host` runs a worker per core and follows the host's life.

`workers` starts and drains them, `metadata` asks the cloud who we are and whether we must go, `lifecycle` says what to
do about it, `aws` makes the calls that need credentials. Nothing here touches media.
"""
