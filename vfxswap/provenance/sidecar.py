"""The C2PA sidecar of a sequence: one for the plain list of hashes, because EXR files cannot hold one.

It says in C2PA's words what the manifest says in full: a plate was opened and edited with a trained model. The library
is an extra (`pip install vfxswap[c2pa]`); without it the manifest is made all the same. The certificate is self-made
(certificates.py): C2PA tools elsewhere call it untrusted.

Source: C2PA Specification 2.x, c2pa.org; calls of c2pa-python 0.38.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Mapping
from typing import Any, Final

import rfc8785

from vfxswap import __version__
from vfxswap.errors import VfxSwapError
from vfxswap.marks import SOURCE_TYPE
from vfxswap.provenance import certificates, naming
from vfxswap.provenance.records import Predicate
from vfxswap.trust.keys import PrivateKey

TYPE: Final = "text/plain"
LABEL: Final = "org.vfxswap.provenance"
DONE: Final = "A performer's face was replaced by another's, with both their consents."
_UNTRUSTED: Final = "signingCredential.untrusted"
_COSE: Final = b"\x84\x6aSignature1"
_PLATE: Final = "plate"


def problem() -> str:
    """Why no sidecar can be made or checked here; empty where it can."""
    if importlib.util.find_spec("c2pa") is None:
        return "c2pa-python is not installed: pip install 'vfxswap[c2pa]'"
    return ""


def context() -> Any:
    """The settings of every call of c2pa: files that name an address make the library fetch it, unless it is told."""
    import c2pa

    settings = {
        "core": {"allowed_network_hosts": []},
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        "builder": {"thumbnail": {"enabled": False}},
    }
    return c2pa.Context(c2pa.Settings.from_dict(settings))


def credential(signer: PrivateKey) -> Any:
    """What c2pa signs with, for a `with`; no timestamp authority. Raises C2paError, OutputError or ResourceError."""
    import c2pa

    def sign(data: bytes) -> bytes:
        # The same key signs manifests: what it signs here has to be a COSE structure, which is neither of the others.
        if not data.startswith(_COSE):
            raise ValueError("not a COSE signature structure")
        return signer.secret.sign(data)

    return c2pa.Signer.from_callback(sign, c2pa.C2paSigningAlg.ED25519, certificates.chain(signer), None)


def make(listed: bytes, predicate: Predicate, signer: PrivateKey) -> tuple[bytes, str]:
    """The sidecar of the hash list, or nothing and the reason.

    Args:
        listed: the hash list's bytes.
        predicate: what is said of its files.
        signer: whose key signs.
    """
    import c2pa

    plates = [{"name": entry.plate.name, "sha256": entry.plate.sha256} for entry in predicate.frames]
    try:
        builder = c2pa.Builder(json.dumps(_claim(predicate)), context=context())
        builder.set_no_embed()
        plate = {"title": predicate.made[0].job.plate, "relationship": "parentOf", "instance_id": _PLATE}
        builder.add_ingredient({**plate, "label": _PLATE}, "application/json", io.BytesIO(rfc8785.dumps(plates)))
        with credential(signer) as signing:
            return bytes(builder.sign(signing, TYPE, io.BytesIO(listed), io.BytesIO())), ""
    except (c2pa.C2paError, VfxSwapError) as error:
        return b"", f"c2pa could not make it: {error}"


def check(data: bytes, listed: bytes) -> tuple[str, bool]:
    """What is wrong with a sidecar of the hash list, in words, or nothing; and whether its certificate is trusted."""
    import c2pa

    try:
        with c2pa.Reader(TYPE, io.BytesIO(listed), manifest_data=data, context=context()) as reader:
            found: dict[str, Any] = reader.get_validation_results() or {}
    except c2pa.C2paError as error:
        return f"it cannot be read: {error}", False
    failures = [item.get("code", "") for item in found.get("activeManifest", {}).get("failure", [])]
    wrong = [code for code in failures if code != _UNTRUSTED]
    return ", ".join(wrong), _UNTRUSTED not in failures


def _claim(predicate: Predicate) -> dict[str, Any]:
    actions: list[dict[str, Any]] = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": [_PLATE]}},
        {"action": "c2pa.edited", "digitalSourceType": SOURCE_TYPE, "description": DONE},
    ]
    return claim(f"{predicate.sequence}: hashes of all frames", actions=actions, said=said(predicate))


def claim(title: str, *, actions: list[dict[str, Any]], said: Mapping[str, Any]) -> dict[str, Any]:
    """What a C2PA manifest of ours holds: `said` is the assertion that is our own."""
    return {
        "claim_generator_info": [{"name": "vfxswap", "version": __version__}],
        "title": title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": LABEL, "data": dict(said)},
        ],
    }


def said(predicate: Predicate) -> dict[str, Any]:
    """A sequence in few words: people, models and consents."""
    models = {model.sha256: model for made in predicate.made for model in made.models}.values()
    return {
        "sequence": predicate.sequence,
        "frames": naming.compact(entry.frame for entry in predicate.frames),  # numbers in a list are shown as base64
        "models": [{"likeness": model.likeness, "double": model.double, "sha256": model.sha256} for model in models],
        "consents": sorted({consent.id for one in predicate.made for consent in one.consents}),
    }
