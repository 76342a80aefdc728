"""Sequences with real files and real shards that nobody rendered, and keys to sign them."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from vfxswap import exr, trust
from vfxswap.provenance import FileEntry, Job, Making, Shard, Source, Trust, shards
from vfxswap.provenance.records import ConsentEntry, FaceOrder, ModelEntry
from vfxswap.trust import KeyRing, KeyRole
from vfxswap.trust.keys import PrivateKey

PASSPHRASE = "correct horse battery"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MODEL, OTHER_MODEL = "ab" * 32, "cd" * 32


def clock() -> datetime:
    return NOW


@dataclass(frozen=True)
class Office:
    """Keys: `farm` (render), `prod` (production), `perf` (performer), `revoker`, `alien` (render, in no ring)."""

    root: Path

    @staticmethod
    def make(root: Path) -> Office:
        (root / "ring").mkdir(parents=True)
        office = Office(root)
        office.key("farm", "render")
        office.key("prod", "production")
        office.key("perf", "performer")
        office.key("revoker", "revocation")
        office.key("alien", "render", trusted=False)
        return office

    def key(self, kid: str, role: KeyRole, *performers: str, trusted: bool = True, **dates: datetime) -> PrivateKey:
        pair = trust.keygen(
            self.root / "private",
            kid=kid,
            role=role,
            performers=performers or ("*",),
            passphrase=PASSPHRASE,
            not_before=dates.get("not_before", NOW - timedelta(days=30)),
            not_after=dates.get("not_after", NOW + timedelta(days=300)),
        )
        if trusted:
            shutil.copy(pair.public, self.root / "ring")
        return self.private(kid)

    def private(self, kid: str) -> PrivateKey:
        return PrivateKey.load(self.root / "private" / f"{kid}.key.pem", passphrase=PASSPHRASE)

    @property
    def farm(self) -> PrivateKey:
        return self.private("farm")

    @property
    def trust(self) -> Trust:
        return Trust(KeyRing.load(self.root / "ring"))


def making(*, model: str = MODEL, mix: float = 1.0, frames: str = "1001-1004", shot: str = "show/sq/sh") -> Making:
    job = Job(
        shot=shot,
        plate="plate.%04d.exr",
        frames=frames,
        view="",
        part="",
        color_config="config",
        color_space="ACEScg",
        lens="",
        layers="comp",
        passes=("uv",),
        faces=(FaceOrder(face="0", model=model, mattes=("hand.%04d.exr:A",), parameters={"mix": mix}),),
    )
    return Making(
        job=job,
        job_sha256=job.sha256,
        models=(ModelEntry(sha256=model, likeness="ben", double="anna"),),
        consents=(
            ConsentEntry(role="likeness", performer="ben", id="urn:uuid:1", sha256="1" * 64),
            ConsentEntry(role="double", performer="anna", id="urn:uuid:2", sha256="2" * 64),
        ),
        software={"vfxswap": "0"},
    )


def pixels(frame: int, *, take: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng([frame, take])
    return {name: rng.random((12, 16)).astype(np.float16) for name in "RGB"}


def render(
    folder: Path, frames: Iterable[int], *, made: Making | None = None, take: int = 0, sequence: str = "out"
) -> None:
    """Write frames and a pass beside each, as a renderer does: the shard right before the frame."""
    made = making() if made is None else made
    for frame in frames:
        key = f"{made.job_sha256[:16]}{frame:04d}"
        names = [f"{sequence}.{frame:04d}.exr", f"{sequence}_uv.{frame:04d}.exr"]
        told: list[exr.Fingerprint] = []
        hints: dict[str, exr.Attribute] = {"vfxswap:job": key, "vfxswap:model": made.models[0].sha256}
        exr.write_channels(folder / names[1], channels=pixels(frame, take=99), attributes=hints, record=told.append)

        def record(
            found: exr.Fingerprint,
            frame: int = frame,
            key: str = key,
            names: list[str] = names,
            told: list[exr.Fingerprint] = told,
        ) -> None:
            files: list[FileEntry] = [shards.entry(n, f) for n, f in zip(names, [found, *told], strict=True)]
            shard = Shard.of(
                sequence=sequence,
                frame=frame,
                key=key,
                altered=True,
                plate=Source(name=f"plate.{frame:04d}.exr", sha256="3" * 64),
                files=tuple(files),
                made=made,
            )
            shards.write(folder, shard)

        channels = pixels(frame, take=take)
        exr.write_channels(folder / names[0], channels=channels, attributes=hints, record=record)


def rewrite(path: Path, *, compression: str = "piz", change: bool = False) -> None:
    """The same picture, or another, written again under the same header."""
    channels, attributes = exr.read_channels(path)
    if change:
        channels["G"] = channels["G"].copy()
        channels["G"][3, 5] += np.float16(0.25)
    hints = {name: value for name, value in attributes.items() if name.startswith("vfxswap:")}
    exr.write_channels(path, channels=channels, attributes=hints, compression=compression)


_PROCESSES = multiprocessing.get_context("forkserver")  # has imported everything, has no threads, and forks quickly


def event() -> Any:
    """Something that processes wait for."""
    return _PROCESSES.Event()


def process(code: str, **variables: Any) -> Any:
    """A started process that runs `code` with these variables, in this process's configuration folder."""
    _PROCESSES.set_forkserver_preload(["vfxswap.pipeline"])
    given = {**variables, "config": os.environ.get("XDG_CONFIG_HOME", "")}
    started = f"import os\nos.environ['XDG_CONFIG_HOME'] = config\n{code}"
    running = _PROCESSES.Process(target=exec, args=(started, given))
    running.start()
    return running


KILLED = """
import signal
real, left = os.replace, [moment]

def replace(source, target):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    real(source, target)

os.replace = replace
"""
"""Kills the process right before it gives the file number `moment` its name."""
