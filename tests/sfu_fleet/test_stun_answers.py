"""Our answers to connectivity checks are aioice's, byte for byte."""

import random

import pytest
from aioice import stun

from sfu_fleet import stun_answers


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "203.0.113.255", "0.0.0.0", "::1", "2001:db8::8a2e:370:7334", "fe80::1%3"]
)
def test_an_answer_is_what_aioice_would_send(seed: int, host: str) -> None:
    rng = random.Random(seed)
    transaction, key, port = rng.randbytes(12), rng.randbytes(rng.randrange(1, 90)), rng.randrange(65_536)
    plain = host.partition("%")[0]
    message = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction, {"XOR-MAPPED-ADDRESS": (plain, port)})
    message.add_message_integrity(key)
    answer = stun_answers.success(transaction, host, port, key)
    assert answer == bytes(message)
    parsed = stun.parse_message(answer)
    assert parsed.check_message_integrity(key)
    assert parsed.attributes["XOR-MAPPED-ADDRESS"] == (plain, port)
