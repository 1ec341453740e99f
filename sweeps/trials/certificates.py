"""The certificate with which the parts of an embedded cluster know each other: it is in no file, and never expires.

Dask's own (`Security.temporary`) is valid from the instant at which it is made, and for a year. After a clock was set
back, or far ahead, by whatever tells a machine the time, no worker that starts could connect.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "text-sweeps")])


class Certificate(NamedTuple):
    """A certificate that vouches for itself, and its key, both in PEM."""

    certificate: str
    key: str


def new() -> Certificate:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signed = (
        x509.CertificateBuilder(NAME, NAME, key.public_key(), x509.random_serial_number(), *ALWAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(signed.public_bytes(serialization.Encoding.PEM).decode(), private.decode())
