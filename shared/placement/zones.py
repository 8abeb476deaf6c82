"""How far zones are from each other: a zone is a path from the wide to the narrow, as `eu-central-1/eu-central-1a`."""


def zone_distance(one: str, other: str) -> int:
    """How many steps of the longer path the two do not share; 0 is the same zone. An empty one shares none."""
    if one == other:
        return 0
    ours, theirs = (path.split("/") if path else [] for path in (one, other))
    shared = 0
    for left, right in zip(ours, theirs, strict=False):
        if left != right:
            break
        shared += 1
    return max(len(ours), len(theirs)) - shared
