"""Everything that a gated command needs: keys, consents, a plate, facesets, a training and a model.

Every consent is signed by real keys; where a clock matters, the dates of the documents are moved, not the machine's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vfxswap import trust, vfxmodel
from vfxswap.train.loop import Trainer
from vfxswap.trust import ShotId
from vfxswap.trust.canonical import Envelope, canonical_json, format_time
from vfxswap.trust.keys import PrivateKey

from .. import support
from ..faceset import made
from ..train import synthetic
from .conftest import PASSPHRASE, Studio

SHOT = "show1/sq010/sh020"
DAY = timedelta(days=1)


@dataclass
class Trust:
    """What a command is given: consents, a key ring and the shot."""

    consents: list[Path]
    ring: Path
    shot: str = SHOT

    @property
    def options(self) -> list[str]:
        return [
            *(part for path in self.consents for part in ("--consent", str(path))),
            *("--keyring", str(self.ring)),
            *("--shot", self.shot),
        ]


class Office:
    """A production of ben over anna with a plate, facesets, a training and a model."""

    def __init__(self, root: Path) -> None:
        self.root = root
        now = datetime.now(UTC).replace(microsecond=0)
        self.studio = Studio(root, start=now - 200 * DAY, now=now, end=now + 200 * DAY)
        self.studio.key("perf-ben", "performer", "ben")
        self.studio.key("perf-anna", "performer", "anna")
        self.studio.key("prod", "production", "ben", "anna")
        self.studio.key("revoker", "revocation", "*")
        self.studio.revoke()
        self.plate = support.write_plate(root / "plate", frames=4)
        self.shot_data = root / "shot"
        for part in ("plate", "truth", "matte"):
            shutil.copytree(root / "plate", self.shot_data / part)
        self.model = root / "hand.vfxmodel"
        vfxmodel.write(self.model, card=support.card(), onnx=support.network())
        self.studio.model = vfxmodel.read_card(self.model).onnx_sha256
        self.ben = self.studio.consent("ben")
        self.anna = self.studio.consent("anna")
        for performer in ("ben", "anna"):
            made.write(root / "facesets" / performer, made.rows(6), performer=performer)
        self.training = root / "training"
        leave = self.studio.gate(self.ben, self.anna).authorize(
            shot=ShotId.parse(SHOT), use="train", performers={"likeness": "ben", "double": "anna"}
        )
        banks: dict[str, Any] = {"likeness": synthetic.bank(synthetic.BEN), "double": synthetic.bank(synthetic.ANNA)}
        Trainer(self.training, config=synthetic.config(steps=1), grant=leave, device="cpu", **banks).run()
        self.report = root / "worst.json"
        self.report.write_text(json.dumps({"schema": "vfxswap.worst/1", "frames": [{"frame": 1002}]}))

    def trust(self, anna: Path | None = None, **changes: Any) -> Trust:
        """Good consents and ring, or other ones."""
        fields = {"consents": [self.ben, anna or self.anna], "ring": self.studio.ring_folder, **changes}
        return Trust(**fields)


def copied_ring(studio: Studio, name: str) -> Path:
    """A copy of the ring, to be changed."""
    return Path(shutil.copytree(studio.ring_folder, studio.root / "rings" / name, dirs_exist_ok=True))


def list_in(
    studio: Studio, ring: Path, *, kid: str = "revoker", issued: datetime | None = None, **changes: object
) -> None:
    """Put a revocation list into a ring, signed by any key: also what `revoke` refuses to sign."""
    at = issued or studio.now
    payload = {
        "schema": "vfxswap.revocations/1",
        "issued": format_time(at),
        "next_update": format_time(at + 7 * DAY),
        "revoked": [],
        **changes,
    }
    key = PrivateKey.load(studio.private(kid), passphrase=PASSPHRASE)
    envelope = Envelope(canonical_json(payload)).signed_by(kid=kid, key=key.secret, kind="vfxswap.revocations/1")
    trust.write_record(ring / "revocations.json", envelope.to_json())


def listing(root: Path) -> Iterator[tuple[str, int, int]]:
    """Every file and folder below `root`: its name, size and time of change."""
    for path in sorted(root.rglob("*")):
        facts = path.lstat()
        yield str(path.relative_to(root)), 0 if path.is_dir() else facts.st_size, facts.st_mtime_ns
