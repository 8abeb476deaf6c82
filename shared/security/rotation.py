"""Rotation of signing keys without a moment at which a good token is refused.

One step changes the document: a new key is put first, with the time from which it signs, and the keys before it get the
time until which they verify. The document then has `lead_s` to reach every process that verifies, since none may meet
a token of a key that it does not know; and the old keys hold until the last token that they signed has expired.
"""

import time
from typing import Final

import msgspec

from shared.security.keys import Algorithm, KeyRing, generate_key
from shared.security.tokens import CLOCK_SKEW_S, LONGEST_LIFETIME_S

# Twice what the slowest reader needs: a worker reads the published set every five minutes.
LEAD_S: Final = 600
OVERLAP_S: Final = LONGEST_LIFETIME_S + 2 * CLOCK_SKEW_S


def rotated(
    ring: KeyRing,
    algorithm: Algorithm,
    *,
    lead_s: float = LEAD_S,
    overlap_s: float = OVERLAP_S,
    now: float | None = None,
) -> KeyRing:
    """The ring with a new key that signs in `lead_s` seconds; keys whose time is over are dropped.

    Raises:
        ValueError: a rotation has begun whose key does not sign yet, or no key signs at all.
    """
    moment = time.time() if now is None else now
    if ring.signing(moment) is None:
        message = "no key of this set signs now: it has no private key whose time has come"
        raise ValueError(message)
    waiting = [key for key in ring.keys.values() if key.signs_from > moment]
    if waiting:
        message = f"key {waiting[0].kid} begins to sign in {waiting[0].signs_from - moment:.0f} s: rotate after that"
        raise ValueError(message)
    begins = moment + lead_s
    kept = [
        msgspec.structs.replace(key, verifies_until=min(key.verifies_until, begins + overlap_s))
        for key in ring.keys.values()
        if key.verifies_until > moment
    ]
    return KeyRing([generate_key(algorithm, signs_from=begins), *kept])
