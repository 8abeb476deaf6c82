"""What sfu_fleet.dtls leans on in the private parts of aiortc, aioice and pylibsrtp.

A failure here means: a dependency was bumped. Read its diff before changing the expectation.
"""

import ast
import inspect
from importlib.metadata import version
from pathlib import Path

import pytest
from aioice import stun
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate, RTCDtlsTransport, State
from OpenSSL import SSL
from pylibsrtp import ERRORS, Policy, Session
from pylibsrtp._binding import ffi, lib  # type: ignore[import-not-found]

import sfu_fleet

PINNED = {"aiortc": "1.16.0", "aioice": "0.13.0", "pylibsrtp": "1.0.0"}


@pytest.mark.parametrize(("package", "expected"), PINNED.items())
def test_the_versions_are_the_ones_that_were_read(package: str, expected: str) -> None:
    assert version(package) == expected


def test_the_methods_that_are_overridden_exist_with_their_signatures() -> None:
    def parameters(function: object) -> list[str]:
        return list(inspect.signature(function).parameters)  # type: ignore[arg-type]

    assert parameters(RTCDtlsTransport._setup_srtp) == ["self"]
    assert parameters(RTCDtlsTransport._set_state) == ["self", "state"]
    assert parameters(RTCDtlsTransport._set_role) == ["self", "role"]
    assert parameters(RTCDtlsTransport._validate_peer_identity) == ["self", "remoteParameters"]
    assert parameters(RTCCertificate._create_ssl_context) == ["self", "srtp_profiles"]
    assert {state.name for state in State} == {"NEW", "CONNECTING", "CONNECTED", "CLOSED", "FAILED"}


def test_the_transport_asks_its_ice_side_for_three_things_only() -> None:
    tree = ast.parse(inspect.getsource(RTCDtlsTransport))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "transport"
    }
    assert used == {"role", "_recv", "_send"}


def test_a_transport_keeps_its_task_and_connection_where_we_look() -> None:
    source = inspect.getsource(RTCDtlsTransport.start) + inspect.getsource(RTCDtlsTransport.stop)
    for name in ("self._task", "self._ssl", "self._setup_srtp()", "self._validate_peer_identity"):
        assert name in source


def test_protection_profiles_have_their_parts_and_gcm_comes_first() -> None:
    assert [profile.openssl_profile for profile in SRTP_PROFILES] == [
        b"SRTP_AEAD_AES_256_GCM",
        b"SRTP_AEAD_AES_128_GCM",
        b"SRTP_AES128_CM_SHA1_80",
    ]
    for profile in SRTP_PROFILES:
        assert profile.key_length
        assert profile.salt_length
        assert len(profile.get_key_and_salt(bytes(100), 1)) == profile.key_length + profile.salt_length


def test_libsrtp_is_reached_through_the_session_s_handle() -> None:
    profile = SRTP_PROFILES[0]
    key = bytes(profile.key_length + profile.salt_length)
    policy = Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile.libsrtp_profile)
    session = Session(policy)
    assert ffi.typeof(session._srtp[0]) is ffi.typeof("srtp_t")
    for name in ("srtp_protect", "srtp_unprotect", "srtp_protect_rtcp", "srtp_unprotect_rtcp"):
        assert callable(getattr(lib, name))
    assert ERRORS[0] == "nothing to report"


def test_stun_messages_carry_what_integrity_is_checked_with() -> None:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.add_message_integrity(b"key")
    parsed = stun.parse_message(bytes(message))
    assert parsed.check_message_integrity(b"key")
    assert not parsed.check_message_integrity(b"other")


def test_openssl_tells_of_alerts() -> None:
    assert hasattr(SSL.Context, "set_info_callback")


def test_no_other_module_touches_private_parts() -> None:
    for path in Path(sfu_fleet.__file__).parent.glob("*.py"):
        if path.name == "dtls.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                )
                assert not any(name.split(".")[0] in {"aiortc", "pylibsrtp"} for name in names), path.name
