"""The demo encoder's DTLS certificate: P-256, since the one that FFmpeg's GnuTLS would make (P-224) is refused."""

import datetime as dt
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from . import private

# DTLS peers compare fingerprints and nothing else (RFC 8827, section 6.5), so a long life costs nothing.
_LIFETIME: Final = dt.timedelta(days=3650)


def ensure(directory: Path) -> tuple[Path, Path]:
    """Make certificate and key once. Returns the paths of both."""
    certificate_path, key_path = directory / "certificate.pem", directory / "key.pem"
    if not (certificate_path.exists() and key_path.exists()):
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "headrace demo encoder")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + _LIFETIME)
            .sign(key, hashes.SHA256())
        )
        private.write(key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        certificate_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate_path, key_path
