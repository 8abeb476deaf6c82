"""AES-GCM for RTP to a peer and RTCP from it, by gcm.c; libsrtp has other ciphers, and all where gcm.c is not built.

gcm.c is compiled with the library intel-ipsec-mb (Debian's libipsec-mb-dev, x86-64 only) where the machine has it.
"""

from functools import partial
from typing import Any, Final

from cffi import FFI  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sfu_fleet.dtls import GCM_KEY_SIZES, Ciphers, Crypt, Libsrtp, RtcpContext, RtpContext, SrtpKeys
from sfu_fleet.native.build import GCM, NotBuiltError, load

_SALT: Final = 12
_TAG: Final = 16
# Labels of session keys and session salts (RFC 3711, section 4.3.1 and 4.3.2), and where in the input they go.
_RTP: Final = (0, 2)
_RTCP: Final = (3, 5)
_LABEL_AT: Final = 7

ffi: Any = FFI()
ffi.cdef("""
struct gcm *gcm_open(const unsigned char *key, int key_size, const unsigned char *salt);
void gcm_close(struct gcm *);
int gcm_size(void);
int gcm_protect(void *context, void *packet, int *length);
int gcm_unprotect_rtcp(void *context, void *packet, int *length);
""")


def _derived(master: bytes, label: int, size: int) -> bytes:
    """AES in counter mode over a salt of 112 bits with the label in it (RFC 3711, 4.3.3; RFC 7714, 11)."""
    key, salt = master[:-_SALT], master[-_SALT:]
    start = bytearray(salt + bytes(4))
    start[_LABEL_AT] ^= label
    return Cipher(algorithms.AES(key), modes.CTR(bytes(start))).encryptor().update(bytes(size))


class _Context:
    """Of master key and master salt, behind each other; `address` and `size` as in `sfu_fleet.dtls.RtpContext`."""

    def __init__(self, library: Any, master: bytes, labels: tuple[int, int]) -> None:  # noqa: ANN401 - a cffi library
        key_label, salt_label = labels
        key = _derived(master, key_label, len(master) - _SALT)
        handle = library.gcm_open(key, len(key), _derived(master, salt_label, _SALT))
        if handle == ffi.NULL:
            raise MemoryError("no SRTP context")
        self._handle: Final = ffi.gc(handle, library.gcm_close)
        self.address: int = int(ffi.cast("uintptr_t", handle))
        self.size: int = int(library.gcm_size())


class GcmRtpOut(_Context):
    """See `sfu_fleet.dtls.RtpContext`."""

    def __init__(self, library: Any, keys: SrtpKeys) -> None:  # noqa: ANN401
        super().__init__(library, keys.outbound, _RTP)
        self.function: int = int(ffi.cast("uintptr_t", library.gcm_protect))
        self.protect: Crypt = partial(library.gcm_protect, self._handle)


class GcmRtcpIn(_Context):
    """See `sfu_fleet.dtls.RtcpContext`."""

    def __init__(self, library: Any, keys: SrtpKeys) -> None:  # noqa: ANN401
        super().__init__(library, keys.inbound, _RTCP)
        self.function: int = int(ffi.cast("uintptr_t", library.gcm_unprotect_rtcp))
        self.unprotect: Crypt = partial(library.gcm_unprotect_rtcp, self._handle)


class Gcm:
    """See `sfu_fleet.dtls.Ciphers`."""

    def __init__(self) -> None:
        """Load gcm.c.

        Raises:
            NotBuiltError: there is none on this machine, or none that can be trusted.
        """
        self._library = load(ffi, GCM)
        self._others = Libsrtp()
        if not _encrypts_rightly(self._library):
            raise NotBuiltError("what intel-ipsec-mb encrypts on this processor is wrong")

    def rtp_out(self, keys: SrtpKeys) -> RtpContext:
        """One for RTP to a peer."""
        return GcmRtpOut(self._library, keys) if _is_gcm(keys, keys.outbound) else self._others.rtp_out(keys)

    def rtcp_in(self, keys: SrtpKeys) -> RtcpContext | None:
        """One for RTCP from a peer, where it is ours."""
        return GcmRtcpIn(self._library, keys) if _is_gcm(keys, keys.inbound) else self._others.rtcp_in(keys)


def _encrypts_rightly(library: Any) -> bool:  # noqa: ANN401
    """Whether a packet comes out as `cryptography` has it: which code runs depends on the processor."""
    key, salt, header, payload = bytes(range(32)), bytes(range(12)), b"\x80\x60" + bytes(range(10)), bytes(range(200))
    handle = library.gcm_open(key, len(key), salt)
    if handle == ffi.NULL:
        return False
    try:
        packet = ffi.new("unsigned char[]", header + payload + bytes(_TAG))
        length = ffi.new("int *", len(header) + len(payload))
        refused = library.gcm_protect(handle, packet, length)
        # RFC 7714, section 8.1, in the first cycle of sequence numbers.
        plain = bytes(2) + header[8:12] + bytes(4) + header[2:4]
        nonce = bytes(one ^ other for one, other in zip(plain, salt, strict=True))
        expected = header + AESGCM(key).encrypt(nonce, payload, header)
        return not refused and bytes(ffi.buffer(packet, length[0])) == expected
    finally:
        library.gcm_close(handle)


def _is_gcm(keys: SrtpKeys, master: bytes) -> bool:
    size = GCM_KEY_SIZES.get(keys.profile)
    return size is not None and len(master) == size + _SALT


def ciphers() -> Ciphers:
    """The fastest that there are on this machine."""
    try:
        return Gcm()
    except NotBuiltError:
        return Libsrtp()
