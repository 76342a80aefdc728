"""The certificate chain that a C2PA sidecar is signed with: made here, so nobody else has a reason to trust it.

C2PA wants X.509. The signer's key gets a certificate from a root that exists for that one purpose: its private key is
dropped as soon as it has signed. Whoever wants to trust the chain takes the root out of the file.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vfxswap import atomic
from vfxswap.provenance.own_key import own_folder
from vfxswap.trust.keys import PrivateKey

CHAIN_SUFFIX = ".chain.pem"
_LIFETIME = timedelta(days=5 * 365)
_SLACK = timedelta(days=1)  # clocks of machines that verify


def chain(signer: PrivateKey) -> str:
    """PEM of the signer's certificate and its root, kept beside this user's render key."""
    file = own_folder() / (signer.kid + CHAIN_SUFFIX)
    kept = _kept(file, signer)
    if kept is None:
        kept = _made(signer)
        atomic.make_folder(file.parent)
        atomic.write_text(file, kept)
    return kept


def _kept(file: Path, signer: PrivateKey) -> str | None:
    try:
        text = file.read_text(encoding="ascii")
        certificates = x509.load_pem_x509_certificates(text.encode())
    except (OSError, ValueError):
        return None
    first, now = certificates[0], datetime.now(UTC)
    current = first.not_valid_before_utc <= now < first.not_valid_after_utc
    same = _raw(first.public_key()) == _raw(signer.secret.public_key())
    return text if current and same else None


def _raw(key: object) -> bytes:
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else b""


def _made(signer: PrivateKey) -> str:
    root = Ed25519PrivateKey.generate()
    now = datetime.now(UTC)
    issuer = _name(f"{signer.kid} root")
    top = (
        _builder(issuer, issuer, root.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .sign(root, None)
    )
    leaf = (
        _builder(_name(signer.kid), issuer, signer.secret.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .sign(root, None)
    )
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in (leaf, top))


def _builder(subject: x509.Name, issuer: x509.Name, key: Ed25519PublicKey, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(int.from_bytes(os.urandom(16), "big") >> 1)
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "vfxswap, self-made"),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),
        ]
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )
