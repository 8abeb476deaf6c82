"""What may be said: length as readers count it, invisible tricks, links, blocked terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.signaling.text import TextPolicy, clean_text, fits, has_link
from shared.protocol.errors import ErrorCode, ProtocolError
from shared.protocol.messages import MAX_TEXT_CHARACTERS

FAMILY = "👨‍👩‍👧‍👦"
ZALGO = "e" + "\u0301\u0302\u0303\u0304" * 8


@pytest.mark.parametrize("grapheme", ["a", "é", "e\u0301", FAMILY, "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👩🏽‍❤️‍💋‍👨🏿", "क्षि", "각"])
def test_a_message_has_as_many_characters_as_its_reader_sees(grapheme: str) -> None:
    policy = TextPolicy()
    assert policy.chat(grapheme * MAX_TEXT_CHARACTERS, 1, moderates=False) == grapheme * MAX_TEXT_CHARACTERS
    with pytest.raises(ProtocolError, match="at most 500") as caught:
        policy.chat(grapheme * (MAX_TEXT_CHARACTERS + 1), 1, moderates=False)
    assert (caught.value.code, caught.value.reference) == (ErrorCode.TEXT_INVALID, 1)


def test_a_heap_of_marks_is_no_character() -> None:
    assert not fits(ZALGO, 500)
    assert not fits(f"all right {ZALGO}", 500)


@given(st.text())
def test_what_is_left_has_no_controls_and_cleaning_it_again_changes_nothing(text: str) -> None:
    left = clean_text(text)
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in left)
    assert not set(left) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ud800")
    assert clean_text(left) == left


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example/x",
        "look: HTTP://EVIL.EXAMPLE",
        "www.evil.example",
        "see evil.com/free",
        "evil.com",
        "me@evil.com",
        "http://10.0.0.1",
        "10.0.0.1/x",
        "ｈｔｔｐｓ：／／ｅｖｉｌ．ｃｏｍ",  # noqa: RUF001 - full width is the point
        "evil。com",
        "ev\u200bil.com",
        "//evil.com",
    ],
)
def test_links_are_found_in_any_dress(text: str) -> None:
    assert has_link(text)
    for policy, moderates in ((TextPolicy(links="nobody"), True), (TextPolicy(links="moderators"), False)):
        with pytest.raises(ProtocolError, match="links may not be sent here"):
            policy.chat(text, 1, moderates=moderates)
    assert TextPolicy(links="moderators").chat(text, 1, moderates=True)
    assert TextPolicy().chat(text, 1, moderates=False)


@pytest.mark.parametrize(
    "text", ["well.done", "v1.2.3", "3.50", "wait...what", "e.g. this", "a/b", "12:30", "...", "@ana"]
)
def test_what_only_has_dots_is_no_link(text: str) -> None:
    assert not has_link(text)


def test_terms_that_are_blocked_everywhere_are_found_whatever_their_dress() -> None:
    policy = TextPolicy(blocked_terms=("Rude Word",))
    for text in ("a RUDE  word here", "ｒｕｄｅ word", "ru\u200bde word"):  # noqa: RUF001 - full width is the point
        assert policy.blocks(text)
        with pytest.raises(ProtocolError, match="blocked here"):
            policy.chat(text, 1, moderates=True)
    assert not policy.blocks("crude words")
