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
from typing import Any, Final

import rfc8785

from vfxswap import __version__
from vfxswap.errors import VfxSwapError
from vfxswap.marks import SOURCE_TYPE
from vfxswap.provenance import certificates
from vfxswap.provenance.records import Predicate
from vfxswap.trust.keys import PrivateKey

TYPE: Final = "text/plain"
LABEL: Final = "org.vfxswap.provenance"
_UNTRUSTED: Final = "signingCredential.untrusted"
_COSE: Final = b"\x84\x6aSignature1"
_PLATE: Final = "plate"


def problem() -> str:
    """Why no sidecar can be made or checked here; empty where it can."""
    if importlib.util.find_spec("c2pa") is None:
        return "c2pa-python is not installed: pip install 'vfxswap[c2pa]'"
    return ""


def make(listed: bytes, predicate: Predicate, signer: PrivateKey) -> tuple[bytes, str]:
    """The sidecar of the hash list, or nothing and the reason.

    Args:
        listed: the hash list's bytes.
        predicate: what is said of its files.
        signer: whose key signs.
    """
    import c2pa

    def sign(data: bytes) -> bytes:
        # The same key signs manifests: what it signs here has to be a COSE structure, which is neither of the others.
        if not data.startswith(_COSE):
            raise ValueError("not a COSE signature structure")
        return signer.secret.sign(data)

    plates = [{"name": entry.plate.name, "sha256": entry.plate.sha256} for entry in predicate.frames]
    try:
        chain = certificates.chain(signer)
        context = c2pa.Context(c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}}))
        builder = c2pa.Builder(json.dumps(_claim(predicate)), context=context)
        builder.set_no_embed()
        plate = {"title": predicate.made[0].job.plate, "relationship": "parentOf", "instance_id": _PLATE}
        builder.add_ingredient({**plate, "label": _PLATE}, "application/json", io.BytesIO(rfc8785.dumps(plates)))
        with c2pa.Signer.from_callback(sign, c2pa.C2paSigningAlg.ED25519, chain, None) as credential:
            return bytes(builder.sign(credential, TYPE, io.BytesIO(listed), io.BytesIO())), ""
    except (c2pa.C2paError, VfxSwapError) as error:
        return b"", f"c2pa could not make it: {error}"


def check(data: bytes, listed: bytes) -> tuple[str, bool]:
    """What is wrong with a sidecar of the hash list, in words, or nothing; and whether its certificate is trusted."""
    import c2pa

    try:
        with c2pa.Reader(TYPE, io.BytesIO(listed), manifest_data=data) as reader:
            found: dict[str, Any] = reader.get_validation_results() or {}
    except c2pa.C2paError as error:
        return f"it cannot be read: {error}", False
    failures = [item.get("code", "") for item in found.get("activeManifest", {}).get("failure", [])]
    wrong = [code for code in failures if code != _UNTRUSTED]
    return ", ".join(wrong), _UNTRUSTED not in failures


def _claim(predicate: Predicate) -> dict[str, Any]:
    made = predicate.made[0]
    people = [{"likeness": model.likeness, "double": model.double, "sha256": model.sha256} for model in made.models]
    said = {
        "sequence": predicate.sequence,
        "frames": [predicate.frames[0].frame, predicate.frames[-1].frame, len(predicate.frames)],
        "models": people,
        "consents": sorted({consent.id for one in predicate.made for consent in one.consents}),
    }
    actions = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": [_PLATE]}},
        {
            "action": "c2pa.edited",
            "digitalSourceType": SOURCE_TYPE,
            "description": "A performer's face was replaced by another's, with both their consents.",
        },
    ]
    return {
        "claim_generator_info": [{"name": "vfxswap", "version": __version__}],
        "title": f"{predicate.sequence}: hashes of all frames",
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": LABEL, "data": said},
        ],
    }
