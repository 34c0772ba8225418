"""Temporary keys, with which a driver and its local workers talk to each other and to nobody else.

They are in the memory of these processes alone: no file holds them, not even for the moment in
which OpenSSL reads them. This module is imported where Dask is.
"""

import datetime
import os
import ssl
import sys
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed.security import Security

# These are no times by the clock, which may be wrong, and may be set while workers come and go. The
# keys end with their processes.
FROM = datetime.datetime(2000, 1, 1)
UNTIL = datetime.datetime(2099, 12, 31)


class InMemory(Security):
    """Dask's settings for TLS, whose keys reach OpenSSL without a folder of temporary files."""

    def _get_tls_context(self, tls: dict[str, Any], purpose: Any) -> ssl.SSLContext:
        if sys.platform != "linux":
            return super()._get_tls_context(tls, purpose)
        handle = os.memfd_create("keys")
        try:
            os.write(handle, f"{tls['key']}\n{tls['cert']}".encode())
            path = f"/proc/self/fd/{handle}"
            return super()._get_tls_context({**tls, "key": path, "cert": path}, purpose)
        finally:
            os.close(handle)


def temporary_keys() -> InMemory:
    """A new key with a certificate that signs itself.

    By it both sides of a connection know each other.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "harness")])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), FROM, UNTIL
    )
    signed = builder.sign(key, hashes.SHA256())
    certificate = signed.public_bytes(serialization.Encoding.PEM).decode()
    pair: dict[str, Any] = {}
    for role in ("client", "scheduler", "worker"):
        pair[f"tls_{role}_key"] = secret
        pair[f"tls_{role}_cert"] = certificate
    # What else is in Dask's configuration is for other clusters
    rest = {"tls_ciphers": None, "tls_max_version": None}
    version = {"tls_min_version": ssl.TLSVersion.TLSv1_3}
    return InMemory(require_encryption=True, tls_ca_file=certificate, **pair, **rest, **version)
