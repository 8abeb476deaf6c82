"""What may be said in a chat, or be called: length as a reader counts, no invisible tricks, links, blocked terms."""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Final, Literal

import regex
from linkify_it import LinkifyIt  # type: ignore[import-untyped]

from shared.protocol.errors import ErrorCode, ProtocolError
from shared.protocol.messages import MAX_TEXT_CHARACTERS
from shared.state.terms import compiled, folded

Links = Literal["everyone", "moderators", "nobody"]

# Controls, surrogates, unassigned and private-use characters; format characters stay, since emoji need the joiner.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Cn", "Co"})
# These turn the reading direction of what follows, also of other people's text.
_DIRECTION_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Extended grapheme clusters: Unicode Standard Annex 29.
_GRAPHEME = regex.compile(r"\X")
# An emoji of a family has up to eleven, an Indic cluster fewer; heaps of marks over one letter have dozens.
MAX_CODE_POINTS_OF_GRAPHEME: Final = 16


def clean_text(text: str) -> str:
    """`text` with a line's worth of space: controls and direction overrides removed, ends stripped."""
    # Nearly all texts; of format characters, which are not printable by this, the loop keeps most.
    if text.isprintable():
        return text.strip()
    kept = (
        " " if character in "\n\r\t" else character
        for character in text
        if character in "\n\r\t"
        or (unicodedata.category(character) not in _REFUSED_CATEGORIES and character not in _DIRECTION_OVERRIDES)
    )
    return "".join(kept).strip()


def fits(text: str, most: int) -> bool:
    """Whether a text has at most so many characters as its reader counts them (graphemes), none of them a heap."""
    if text.isascii():
        return len(text) <= most
    # What cannot fit is not taken apart first.
    if len(text) > most * MAX_CODE_POINTS_OF_GRAPHEME:
        return False
    graphemes = _GRAPHEME.findall(text)
    return len(graphemes) <= most and max(map(len, graphemes)) <= MAX_CODE_POINTS_OF_GRAPHEME


class TextPolicy:
    """What this deployment allows beyond what every room does."""

    def __init__(self, *, links: Links = "everyone", blocked_terms: Sequence[str] = ()) -> None:
        self._links = links
        self._blocked = compiled(blocked_terms)

    def blocks(self, text: str) -> bool:
        """Whether a text has a term that is blocked everywhere."""
        return self._blocked is not None and self._blocked.search(folded(text)) is not None

    def chat(self, text: str, message_id: int, *, moderates: bool) -> str:
        """The text of a chat message as it goes into the log; `moderates` is whether its sender does.

        Raises:
            ProtocolError: TEXT_INVALID when nothing or too much is left, or it has what may not be said here.
        """
        cleaned = clean_text(text)
        if not cleaned:
            raise ProtocolError(ErrorCode.TEXT_INVALID, "the message is empty", reference=message_id)
        if not fits(cleaned, MAX_TEXT_CHARACTERS):
            problem = f"a message has at most {MAX_TEXT_CHARACTERS} characters"
            raise ProtocolError(ErrorCode.TEXT_INVALID, problem, reference=message_id)
        if self.blocks(cleaned):
            problem = "the message has a term that is blocked here"
            raise ProtocolError(ErrorCode.TEXT_INVALID, problem, reference=message_id)
        if not self._may_link(moderates=moderates) and has_link(cleaned):
            raise ProtocolError(ErrorCode.TEXT_INVALID, "links may not be sent here", reference=message_id)
        return cleaned

    def _may_link(self, *, moderates: bool) -> bool:
        return self._links == "everyone" or (self._links == "moderators" and moderates)


def has_link(text: str) -> bool:
    """Whether a text has what readers or their programs take for an address: with a scheme, a bare host, an e-mail."""
    # Full width and the like undone, invisible characters removed; browsers read the ideographic stop as a dot.
    plain = folded(text).replace("\u3002", ".")
    # Many programs link what begins so, whatever it ends with.
    return "www." in plain or bool(_links().test(plain))


@cache
def _links() -> LinkifyIt:
    # Host names of every ending that a country has; of others the common ones, since "well.done" is no address.
    return LinkifyIt(options={"fuzzy_link": True, "fuzzy_email": True, "fuzzy_ip": True})
