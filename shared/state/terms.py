"""Words that a room does not want to read: matched whatever their case and width.

The match is done here and not in the script, because case and width are matters of Unicode, which a script knows
nothing of. The script checks that the list used here is the one that holds, so the decision is atomic all the same.
"""

import re
import unicodedata
from collections.abc import Sequence

MAX_TERMS = 100
MAX_TERM_CHARACTERS = 64

# Thai and Lao, Burmese, Khmer.
_UNSPACED = (("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff"))


def folded(text: str) -> str:
    """`text` as it is compared: compatibility forms (full width, ligatures) and case undone, invisibles removed."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in plain if unicodedata.category(character) != "Cf")


def cleaned_terms(terms: Sequence[str]) -> list[str]:
    """Terms as they are kept: folded, space collapsed, sorted, each once, none empty."""
    return sorted({" ".join(folded(term).split()) for term in terms} - {""})


def compiled(terms: Sequence[str]) -> re.Pattern[str] | None:
    """A pattern that finds any of `terms` in a folded text; None when there are none.

    A term is found as whole words ("ass" not in "class"), where its script has spaces between words.
    """
    alternatives = []
    for term in cleaned_terms(terms):
        body = r"\s+".join(re.escape(part) for part in term.split())
        before = r"(?<!\w)" if _spaced(term[0]) else ""
        after = r"(?!\w)" if _spaced(term[-1]) else ""
        alternatives.append(f"{before}{body}{after}")
    return re.compile("|".join(alternatives)) if alternatives else None


def _spaced(character: str) -> bool:
    # Chinese, Japanese and Korean letters are wide.
    wide = unicodedata.east_asian_width(character) in "WF"
    unspaced = any(low <= character <= high for low, high in _UNSPACED)
    return character.isalnum() and not wide and not unspaced
