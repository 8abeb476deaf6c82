"""Names, titles and other short texts that others will read."""

from functions.context import Context
from functions.signaling.text import clean_text, fits
from shared.telemetry.problems import Problem


def cleaned(context: Context, text: str, field: str, *, most: int = 100, may_be_empty: bool = False) -> str:
    """The text without what would deceive its reader.

    Raises:
        Problem: 400 when nothing or too much is left, or it has a term that is blocked everywhere.
    """
    left = clean_text(text)
    if not left and not may_be_empty:
        raise _malformed(f"{field}: is empty")
    if left and not fits(left, most):
        raise _malformed(f"{field}: has more than {most} characters")
    if context.text_policy.blocks(left):
        raise _malformed(f"{field}: has a term that is blocked here")
    return left


def _malformed(detail: str) -> Problem:
    return Problem(400, "malformed", "Bad request", detail)
