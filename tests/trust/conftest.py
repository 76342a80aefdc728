"""A production office with real keys. Only the clock is ours: no fixture makes a Grant."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vfxswap import trust
from vfxswap.trust import Gate, Grant, KeyRing, KeyRole, ShotId, Use

PASSPHRASE = "correct horse battery"


@dataclass
class Studio:
    """Keys `perf-ben`, `perf-anna`, `prod`, `revoker`; consents of ben (likeness) and anna (double)."""

    root: Path
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    now: datetime = datetime(2026, 6, 1, 12, tzinfo=UTC)
    end: datetime = datetime(2027, 1, 1, tzinfo=UTC)
    model: str = "ab" * 32
    passphrase: str = PASSPHRASE

    @property
    def shot(self) -> ShotId:
        return ShotId("show1", "sq010", "sh020")

    @property
    def ring_folder(self) -> Path:
        return self.root / "ring"

    @property
    def ring(self) -> KeyRing:
        return KeyRing.load(self.ring_folder)

    def private(self, kid: str) -> Path:
        return self.root / "private" / f"{kid}.key.pem"

    def key(self, kid: str, role: KeyRole, *performers: str, trusted: bool = True, **dates: datetime) -> Path:
        self.ring_folder.mkdir(exist_ok=True)
        (self.root / "private").mkdir(exist_ok=True)
        pair = trust.keygen(
            self.root / "private",
            kid=kid,
            role=role,
            performers=performers,
            passphrase=PASSPHRASE,
            not_before=dates.get("not_before", self.start),
            not_after=dates.get("not_after", self.end + timedelta(days=999)),
        )
        if trusted:
            shutil.copy(pair.public, self.ring_folder)
        return pair.private

    def record(self, performer: str, **changes: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "roles": ["likeness" if performer == "ben" else "double"],
            "uses": ["train", "swap", "publish"],
            "purpose": "Stunt shots of show1.",
            "scope": ["show1/sq0*/*"],
            "scope_exclude": ["show1/sq099/*"],
            "not_before": self.start,
            "not_after": self.end,
            "models": [self.model],
        }
        return trust.new_consent(performer=performer, **{**fields, **changes})

    def consent(self, performer: str, *, signers: Sequence[str] | None = None, **changes: Any) -> Path:
        """A new signed consent; by default signed by the performer's own key and by production."""
        record = self.record(performer, **changes)
        path = self.root / f"{performer}-{record['id'][-12:]}.consent.json"
        trust.write_record(path, record)
        for kid in (f"perf-{performer}", "prod") if signers is None else signers:
            trust.sign(path, key_file=self.private(kid), passphrase=PASSPHRASE)
        return path

    def revoke(self, *consents: Path, at: datetime | None = None, kid: str = "revoker", **more: Any) -> None:
        trust.revoke(
            consents,
            ring=self.ring,
            key_file=self.private(kid),
            passphrase=PASSPHRASE,
            clock=lambda: at or self.now,
            **more,
        )

    def clock(self, at: datetime | None = None) -> Callable[[], datetime]:
        return lambda: at or self.now

    def gate(self, *consents: Path, at: datetime | None = None) -> Gate:
        return Gate(self.ring, consents, clock=self.clock(at))

    def ask(self, *consents: Path, at: datetime | None = None, **changes: Any) -> Grant:
        """Ask the gate for a swap of anna's face by ben's."""
        use: Use = changes.pop("use", "swap")
        request: dict[str, Any] = {
            "shot": self.shot,
            "performers": {"likeness": "ben", "double": "anna"},
            "model_sha256": self.model,
        }
        return self.gate(*consents, at=at).authorize(use=use, **{**request, **changes})


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    made = Studio(tmp_path)
    made.key("perf-ben", "performer", "ben")
    made.key("perf-anna", "performer", "anna")
    made.key("prod", "production", "ben", "anna")
    made.key("revoker", "revocation", "*")
    made.revoke()
    return made
