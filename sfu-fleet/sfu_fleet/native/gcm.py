"""What encrypts RTP to a peer: gcm.c with AES-GCM; libsrtp with other ciphers, and where gcm.c is not built.

gcm.c is compiled with the library intel-ipsec-mb (Debian's libipsec-mb-dev, x86-64 only) where the machine has it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from cffi import FFI  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sfu_fleet.dtls import GCM_KEY_SIZES, LibsrtpContext, RtpContext, SrtpKeys
from sfu_fleet.native.build import GCM, NotBuiltError, load

_SALT: Final = 12
# Labels of RTP's session key and session salt (RFC 3711, section 4.3.1), and where in the input they go.
_KEY_LABEL: Final = 0
_SALT_LABEL: Final = 2
_LABEL_AT: Final = 7

ffi: Any = FFI()
ffi.cdef("""
struct gcm *gcm_open(const unsigned char *key, int key_size, const unsigned char *salt);
void gcm_close(struct gcm *);
int gcm_size(void);
int gcm_protect(void *context, void *packet, int *length);
""")


def session_keys(master: bytes) -> tuple[bytes, bytes]:
    """RTP's session key and session salt, of a master key and behind it a master salt (RFC 7714, section 11)."""
    key, salt = master[:-_SALT], master[-_SALT:]
    return _derived(key, salt, _KEY_LABEL, len(key)), _derived(key, salt, _SALT_LABEL, _SALT)


def _derived(key: bytes, salt: bytes, label: int, size: int) -> bytes:
    """AES in counter mode over a salt of 112 bits with the label in it (RFC 3711, section 4.3.3; RFC 6188)."""
    start = bytearray(salt + bytes(4))
    start[_LABEL_AT] ^= label
    return Cipher(algorithms.AES(key), modes.CTR(bytes(start))).encryptor().update(bytes(size))


class GcmContext:
    """See `sfu_fleet.dtls.RtpContext`."""

    def __init__(self, library: Any, keys: SrtpKeys) -> None:  # noqa: ANN401 - a cffi library
        key, salt = session_keys(keys.outbound)
        handle = library.gcm_open(key, len(key), salt)
        if handle == ffi.NULL:
            raise MemoryError("no SRTP context")
        self._handle: Final = ffi.gc(handle, library.gcm_close)
        self.address: int = int(ffi.cast("uintptr_t", handle))
        self.function: int = int(ffi.cast("uintptr_t", library.gcm_protect))
        self.size: int = int(library.gcm_size())
        self.protect: Callable[[Any, Any], int] = partial(library.gcm_protect, self._handle)


def contexts() -> Callable[[SrtpKeys], RtpContext]:
    """What makes contexts: the fastest that there is on this machine for each peer's cipher."""
    try:
        library = load(ffi, GCM)
    except NotBuiltError:
        return LibsrtpContext

    def made(keys: SrtpKeys) -> RtpContext:
        size = GCM_KEY_SIZES.get(keys.profile)
        if size is None or len(keys.outbound) != size + _SALT:
            return LibsrtpContext(keys)
        return GcmContext(library, keys)

    return made
