"""Key sets: which key signs and verifies when, and the rotation that changes it."""

import json
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.security import __main__ as command
from shared.security.keys import ASYMMETRIC, Algorithm, KeyRing, generate_jwks, generate_key
from shared.security.rotation import LEAD_S, OVERLAP_S, rotated
from shared.security.spent import SpentTokens
from shared.security.tokens import (
    AUDIENCE_ROOM,
    AUDIENCE_SFU,
    LONGEST_LIFETIME_S,
    Claims,
    TokenRefused,
    TokenReplayed,
    TokenRevoked,
    Tokens,
)

CLAIMS = Claims(sub="p1", name="Ana", sid="s1")


def _kids(ring: KeyRing) -> list[str]:
    return list(ring.keys)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "HS256"])
def test_each_algorithm_signs_and_verifies_after_a_journey_as_text(algorithm: Algorithm) -> None:
    ring = KeyRing.from_jwks(generate_jwks(algorithm), insecure_hs256=True)
    token = Tokens(ring).sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=60)
    again = KeyRing.from_jwks(ring.private_jwks(), insecure_hs256=True)
    assert Tokens(again).verify(token, audience=AUDIENCE_ROOM) == CLAIMS


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_the_public_set_verifies_and_has_no_private_part(algorithm: Algorithm) -> None:
    ring = KeyRing.from_jwks(generate_jwks(algorithm))
    document = ring.public_jwks()
    assert "d" not in json.loads(document)["keys"][0]
    token = Tokens(ring).sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=60)
    public = Tokens(KeyRing.from_jwks(document))
    assert public.verify(token, audience=AUDIENCE_ROOM) == CLAIMS
    with pytest.raises(TokenRefused):
        public.sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=60)


def test_a_shared_secret_is_never_published_and_refused_unless_asked_for() -> None:
    document = generate_jwks("HS256")
    assert json.loads(KeyRing.from_jwks(document, insecure_hs256=True).public_jwks()) == {"keys": []}
    with pytest.raises(ValueError, match="HEADRACE_INSECURE_HS256") as caught:
        KeyRing.from_jwks(document)
    assert json.loads(document)["keys"][0]["k"] not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [{"alg": "HS256"}, {"alg": "ES256"}, {"kid": ""}, {"kid": 7}, {"x": "AA"}, {"nbf": "soon"}, {"d": "AA"}],
)
def test_a_key_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    (entry,) = json.loads(generate_jwks())["keys"]
    with pytest.raises(ValueError, match="expected a JWK set"):
        KeyRing.from_jwks(json.dumps({"keys": [entry | change]}))


def test_keys_for_others_are_left_alone() -> None:
    ours = json.loads(generate_jwks())["keys"]
    others = [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "OKP", "crv": "X25519"}, ours[0] | {"use": "enc"}]
    assert len(KeyRing.from_jwks(json.dumps({"keys": [*others, *ours]})).keys) == 1


def test_a_rotation_signs_with_the_old_key_until_its_time_and_verifies_both_until_the_last_token_is_over() -> None:
    now = time.time()
    before = KeyRing([generate_key()])
    (old,) = _kids(before)
    after = KeyRing.from_jwks(rotated(before, "ES256", now=now).private_jwks())
    new = _kids(after)[0]

    def signing(moment: float) -> str:
        key = after.signing(moment)
        assert key is not None
        return key.kid

    assert signing(now) == old
    assert signing(now + LEAD_S - 2) == old
    assert signing(now + LEAD_S + 1) == new
    last_token_over = now + LEAD_S + LONGEST_LIFETIME_S
    assert after.verifying(old, last_token_over) is not None
    assert after.verifying(old, now + LEAD_S + OVERLAP_S + 1) is None
    assert after.verifying(new, now) is not None


def test_a_rotation_under_way_is_not_begun_again() -> None:
    ring = rotated(KeyRing([generate_key()]), "EdDSA")
    with pytest.raises(ValueError, match="rotate after that"):
        rotated(ring, "EdDSA")


@given(st.lists(st.tuples(st.floats(1, 3600), st.floats(0, 7200)), min_size=1, max_size=6))
def test_over_any_rotations_every_token_verifies_for_as_long_as_it_lives(steps: list[tuple[float, float]]) -> None:
    ring, now = KeyRing([generate_key()]), 1e9
    signed: list[tuple[str, float]] = []
    for lead_s, pause_s in steps:
        ring = rotated(ring, "EdDSA", lead_s=lead_s, now=now)
        for moment in (now, now + lead_s, now + lead_s + pause_s):
            key = ring.signing(moment)
            assert key is not None
            signed.append((key.kid, moment + LONGEST_LIFETIME_S))
        now += lead_s + pause_s
        for kid, over in signed:
            assert over <= now or ring.verifying(kid, now) is not None


def test_the_command_rotates_a_file_in_place_and_writes_its_public_half(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, public = tmp_path / "keys.json", tmp_path / "keys.public.json"
    assert command.main(["generate", "--file", str(file)]) == 0
    assert command.main(["generate", "--file", str(file)]) == 1
    before = KeyRing.from_jwks(file.read_text())
    assert command.main(["rotate", "--file", str(file), "--public", str(public)]) == 0
    after = KeyRing.from_jwks(file.read_text())
    assert _kids(after)[1:] == _kids(before)
    assert json.loads(public.read_text()) == json.loads(after.public_jwks())
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(public.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {file.name, public.name}
    assert command.main(["rotate", "--file", str(file)]) == 1
    capsys.readouterr()
    assert command.main(["show", "--file", str(file)]) == 0
    said = capsys.readouterr().out
    assert f"{_kids(before)[0]} EdDSA signs" in said
    assert f"{_kids(after)[0]} EdDSA verifies, signs from" in said
    assert command.main(["show", "--file", str(tmp_path / "none")]) == 1


def test_a_token_for_one_use_is_refused_the_second_time() -> None:
    tokens = Tokens(KeyRing([generate_key()]))
    once = tokens.sign(Claims(sub="p1", jti="j1"), audience=AUDIENCE_SFU, lifetime_s=60)
    assert tokens.verify_once(once, audience=AUDIENCE_SFU).sub == "p1"
    with pytest.raises(TokenReplayed):
        tokens.verify_once(once, audience=AUDIENCE_SFU)
    many = tokens.sign(CLAIMS, audience=AUDIENCE_SFU, lifetime_s=60)
    assert tokens.verify_once(many, audience=AUDIENCE_SFU) == tokens.verify_once(many, audience=AUDIENCE_SFU)


def test_what_was_spent_is_forgotten_when_it_could_not_be_used_any_more() -> None:
    spent, now = SpentTokens(), time.time()
    assert spent.spend("a", now - 1)
    assert spent.spend("b", now + 60)
    assert not spent.spend("b", now + 60)
    assert len(spent) == 1


def test_tokens_of_an_ended_session_are_told_apart() -> None:
    tokens = Tokens(KeyRing([generate_key()]))
    token = tokens.sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=60)
    tokens.revocations.add("s1", lasts_s=60)
    with pytest.raises(TokenRevoked):
        tokens.verify(token, audience=AUDIENCE_ROOM)


def test_no_token_is_signed_that_would_outlive_its_key() -> None:
    with pytest.raises(ValueError, match="at most"):
        Tokens(KeyRing([generate_key()])).sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=LONGEST_LIFETIME_S + 1)
