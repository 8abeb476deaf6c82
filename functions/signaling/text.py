"""What may be said in a chat."""

import unicodedata

from shared.protocol.errors import ErrorCode, ProtocolError
from shared.protocol.messages import MAX_TEXT_CHARACTERS

# Controls, surrogates, unassigned and private-use characters; format characters stay, since emoji need the joiner.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Cn", "Co"})
# These turn the reading direction of what follows, also of other people's text.
_DIRECTION_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


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


def chat_text(text: str, message_id: int) -> str:
    """The text of a chat message as it goes into the log.

    Raises:
        ProtocolError: TEXT_INVALID when nothing or too much is left.
    """
    cleaned = clean_text(text)
    if not cleaned:
        raise ProtocolError(ErrorCode.TEXT_INVALID, "the message is empty", reference=message_id)
    if len(cleaned) > MAX_TEXT_CHARACTERS:
        problem = f"a message has at most {MAX_TEXT_CHARACTERS} characters"
        raise ProtocolError(ErrorCode.TEXT_INVALID, problem, reference=message_id)
    return cleaned
