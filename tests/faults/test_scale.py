"""What must not grow faster than the shot: small parts of benchmarks/scale/scale.py."""

from __future__ import annotations

import os
import time
from pathlib import Path

from vfxswap import atomic, provenance
from vfxswap.provenance import FileEntry, Shard, naming, shards
from vfxswap.trust.keys import PrivateKey

from ..publish.conftest import rendered
from ..support import Studio


def test_ten_thousand_frames_of_one_job_are_asked_for_once() -> None:
    begun = time.process_time()
    assert len(naming.asked("1-10000" for _ in range(10_000))) == 10_000
    assert time.process_time() - begun < 2.0  # each of them by itself: minutes


def test_merging_takes_each_frame_the_same_time(production: Studio, face_plate: str, tmp_path: Path) -> None:
    """Three times as many frames take at most five times as long, every shard naming the whole range."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    comp = rendered(tmp_path / "rendered", production, face_plate)
    signer = PrivateKey("test", "render", Ed25519PrivateKey.generate())
    first = next(iter(shards.read_all(comp.output, "out").shards.values()))
    entry = FileEntry(name="x", size=1, sha256=first.main.sha256, pixels=first.main.pixels)
    taken = []
    for count in (200, 600):
        folder = tmp_path / str(count)
        made = first.made.model_copy(
            update={"job": first.made.job.model_copy(update={"frames": f"1-{count}"})},
        )
        made = made.model_copy(update={"job_sha256": made.job.sha256})
        shards.folder(folder, "out").mkdir(parents=True)
        (folder / "small").write_bytes(b"x")
        for frame in range(1, count + 1):
            name = f"out.{frame}.exr"
            os.link(folder / "small", folder / name)
            shard = Shard.of(
                sequence="out", frame=frame, key=first.key, altered=True, plate=first.plate, made=made,
                files=(entry.model_copy(update={"name": name}),),
            )  # fmt: skip
            shards.path(folder, "out", frame).write_bytes(shards.encoded(shard))
        tries = []
        for _ in range(3):
            provenance.manifest_path(folder, "out").unlink(missing_ok=True)
            begun = time.process_time()
            merged = provenance.merge(folder, "out", signer=signer, with_sidecar=False)
            tries.append(time.process_time() - begun)
            assert (merged.frames, merged.gaps) == (count, ())
        taken.append(min(tries))
    assert taken[1] < 5 * taken[0], taken


def test_a_shot_is_swept_once_and_not_for_each_frame(tmp_path: Path) -> None:
    """A frame that is written does not read the folder that it goes into."""
    for i in range(3000):
        (tmp_path / f"out.{i}.exr").touch()

    def taken(*, swept: bool) -> float:
        begun = time.process_time()
        for i in range(20):
            atomic.write_bytes(tmp_path / f"new.{i}.exr", b"", swept=swept)
        return time.process_time() - begun

    assert taken(swept=True) < taken(swept=False) / 2
