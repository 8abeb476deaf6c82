"""Passwords, hashed with argon2id (RFC 9106) on threads of their own: a hash takes tens of milliseconds of a core.

Few at a time and few that wait, so that a flood of sign-ins neither fills the memory nor holds up anything else.
"""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from functions import metrics

MIN_CHARACTERS: Final = 10
MAX_CHARACTERS: Final = 256
# OWASP's first choice for argon2id where memory is scarce: 19 MiB, two passes, one lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_AT_ONCE: Final = 2
_WAITING: Final = 32
_MIN_DIFFERENT: Final = 4
_MIN_WORD: Final = 3
_GUESSED_FIRST: Final = (
    "password",
    "passwort",
    "qwertyuiop",
    "qwerty",
    "1234567890",
    "123456",
    "abcdef",
    "headrace",
    "letmein",
)

T = TypeVar("T")


class TooBusyError(Exception):
    """More passwords wait to be checked than there should be."""


class PasswordTooWeakError(ValueError):
    """A password that would be guessed; the message says why."""


class Passwords:
    """One per process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        # What an unknown user's password is compared with, so that the answer takes as long as a known user's.
        self._nobody = self._threads.submit(_HASHER.hash, secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        """The hash of a password, in PHC string format.

        Raises:
            TooBusyError: come back later.
        """
        return await self._on_thread(_HASHER.hash, _normal(password))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether it is the password of that hash. None stands for a user that there is not: never, after as long.

        Raises:
            TooBusyError: come back later.
        """
        if hashed is None:
            nobody = await asyncio.shield(asyncio.wrap_future(self._nobody))
            await self._on_thread(_matches, nobody, _normal(password))
            return False
        return await self._on_thread(_matches, hashed, _normal(password))

    def outdated(self, hashed: str) -> bool:
        """Whether a hash was made with other parameters than are used now, and should be made anew."""
        return _HASHER.check_needs_rehash(hashed)

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _on_thread(self, work: Callable[..., T], *args: str) -> T:
        if self._waiting >= _WAITING:
            raise TooBusyError
        self._waiting += 1
        metrics.PASSWORDS_WAITING.set(self._waiting)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._waiting -= 1
            metrics.PASSWORDS_WAITING.set(self._waiting)


def check_strength(password: str, *, known: tuple[str, ...] = ()) -> None:
    """Refuse what is guessed first: what is short, of few characters, or made of what is `known` of its owner.

    Length is what counts (NIST SP 800-63B); no kinds of characters are asked for.

    Raises:
        PasswordTooWeakError: it is refused.
    """
    plain = _normal(password).casefold()
    if len(plain) < MIN_CHARACTERS:
        message = f"a password has at least {MIN_CHARACTERS} characters"
        raise PasswordTooWeakError(message)
    if len(set(plain)) < _MIN_DIFFERENT:
        message = "the password has too few different characters"
        raise PasswordTooWeakError(message)
    rest = plain
    for word in (*_GUESSED_FIRST, *(_normal(part).casefold() for part in known if len(part) >= _MIN_WORD)):
        rest = rest.replace(word, "")
    if len(rest) < MIN_CHARACTERS // 2:
        message = "the password is among those that are guessed first"
        raise PasswordTooWeakError(message)


def _matches(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def _normal(password: str) -> str:
    # NIST SP 800-63B: the same characters typed on another keyboard are the same password.
    return unicodedata.normalize("NFKC", password)
