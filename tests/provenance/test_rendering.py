"""Rendering writes its own record: with every frame, whatever ends the render, and never for what it did not make."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfxswap import exr, pipeline, provenance
from vfxswap.errors import ConsentError
from vfxswap.events import CancelToken, Done, Event, FrameDone, RecordingSink, Warned
from vfxswap.job import SwapJob, SwapParameters
from vfxswap.provenance import Trust, manifest, own_key, own_ring, shards
from vfxswap.provenance.records import Shard, Signing
from vfxswap.sequence import FrameRange
from vfxswap.trust import Gate, KeyRing

from ..support import Studio, digests, disc, job, network
from ..test_invariants_of_jobs import SHOT, write_shot
from .made import KILLED, NOW, process

FRAMES = (1001, 1002, 1003, 1004)


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="module")
def made(production: Studio, face_plate: str, tmp_path_factory: pytest.TempPathFactory) -> SwapJob:
    """A job that is tracked and measured, with a pass."""
    folder = tmp_path_factory.mktemp("first")
    first = job(production, face_plate, folder, passes=["uv"])
    pipeline.swap(first, gate=production.gate(), sink=RecordingSink(), cancel=CancelToken())
    (track,), (shot,) = ((folder / ".vfxswap" / "out").glob(f"*.{kind}") for kind in ("vfxtrack", "vfxshot"))
    return first.replace(track=track, measurements=shot)


def to(made: SwapJob, folder: Path, **fields: Any) -> SwapJob:
    return made.replace(output=str(folder / "out.####.exr"), **fields)


def do(production: Studio, made: SwapJob, frames: str = "", *, sign: bool = True) -> list[Event]:
    sink = RecordingSink()
    pipeline.swap(
        made,
        gate=production.gate(),
        sink=sink,
        cancel=CancelToken(),
        frames=FrameRange.parse(frames) if frames else None,
        sign=own_key if sign else None,
    )
    return sink.events


def statuses(told: list[Event]) -> dict[int, str]:
    return {event.frame: event.status for event in told if isinstance(event, FrameDone)}


def shard(folder: Path, frame: int) -> Shard:
    found = shards.read(shards.path(folder, "out", frame))
    assert found is not None
    return found


def content(folder: Path) -> Any:
    found = manifest.read(folder / "out.provenance.json").statement
    return found.subject, found.predicate.model_copy(update={"signing": Signing(time=NOW)})


def kinds(folder: Path) -> list[str]:
    return [one.kind for one in provenance.verify(folder, Trust(None, own_ring())).findings]


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / ".vfxswap" / "out").glob("*.json")}


# ------------------------------------------------------------------------------------------- what is written


def test_a_render_is_recorded_and_signed(production: Studio, made: SwapJob, tmp_path: Path):
    told = do(production, to(made, tmp_path / "out"))
    assert isinstance(told[-1], Done)
    assert told[-1].manifest == str(tmp_path / "out" / "out.provenance.json")
    assert kinds(tmp_path / "out") == []
    for frame in FRAMES:
        one = shard(tmp_path / "out", frame)
        assert [file.name for file in one.files] == [f"out.{frame}.exr", f"out_uv.{frame}.exr"]
        for file in one.files:
            found = exr.fingerprint(tmp_path / "out" / file.name)
            assert (found.size, found.sha256, found.pixels) == (file.size, file.sha256, file.pixels)
        header = exr.probe(tmp_path / "out" / f"out.{frame}.exr").parts[0].attributes
        assert header["vfxswap:job"] == one.key
        assert header["vfxswap:model"] == one.made.models[0].sha256
        assert header["vfxswap:consent"].split() == sorted(consent.id for consent in one.made.consents)
        assert one.altered
        plate = Path(made.plate).parent / one.plate.name
        assert one.plate.sha256 == exr.file_sha256(plate)
    assert [(c.role, c.performer) for c in one.made.consents] == [("likeness", "ben"), ("double", "anna")]
    assert (one.made.models[0].likeness, one.made.models[0].double) == ("ben", "anna")
    assert (one.made.job.shot, one.made.job.frames) == ("local/local/plate", "1001-1004")
    assert {"vfxswap", "python", "numpy", "OpenImageIO"} <= set(one.made.software)


@pytest.mark.parametrize("views", [(), ("left", "right")], ids=["mono", "stereo"])
def test_shards_depend_on_the_job_and_on_nothing_else(production: Studio, tmp_path: Path, views: tuple[str, ...]):
    """Two faces, passes, mattes; whole, in chunks, elsewhere."""
    whole = write_shot(production, tmp_path, views=views, passes=["uv", "stmap_inverse"], layers="ingredients")
    do(production, to(whole, tmp_path / "a"))
    for chunk in ("1007,1001", "1002-1005", "1006"):
        do(production, to(whole, tmp_path / "deep" / "b", host="nuke"), chunk, sign=False)
    assert shard_bytes(tmp_path / "a") == shard_bytes(tmp_path / "deep" / "b")
    text = b"".join(shard_bytes(tmp_path / "a").values()).decode()
    assert str(tmp_path) not in text
    assert os.uname().nodename not in text
    names = [file.name for file in shard(tmp_path / "a", 1001).files]
    assert len(names) == (6 if views else 4), names
    assert set(digests(tmp_path / "a")) == {f.name for frame in SHOT for f in shard(tmp_path / "a", frame).files}
    assert not shard(tmp_path / "a", 1004).altered, "no face there"
    provenance.merge(tmp_path / "deep" / "b", "out", signer=own_key())
    assert content(tmp_path / "a") == content(tmp_path / "deep" / "b")
    assert kinds(tmp_path / "a") == kinds(tmp_path / "deep" / "b") == []


def test_eyes_in_files_of_their_own_have_a_manifest_each(production: Studio, made: SwapJob, tmp_path: Path):
    for eye in ("left", "right"):
        for frame in FRAMES[:2]:
            source = Path(made.plate).parent / f"shot.{frame}.exr"
            target = tmp_path / "plate" / f"p.{eye}.{frame}.exr"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    both = job(production, str(tmp_path / "plate" / "p.%V.####.exr"), tmp_path, view="all")
    told = do(production, both.replace(output=str(tmp_path / "out" / "o.%V.####.exr")))
    paths = [tmp_path / "out" / f"o.{eye}.provenance.json" for eye in ("left", "right")]
    assert isinstance(told[-1], Done)
    assert told[-1].manifest == str(paths[0])
    assert all(path.is_file() for path in paths)
    assert kinds(tmp_path / "out") == []


# ------------------------------------------------------------------------------------ resuming, and kills


def test_a_second_run_keeps_frames_and_manifest(production: Studio, made: SwapJob, tmp_path: Path):
    mine = to(made, tmp_path)
    do(production, mine)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    told = do(production, mine)
    assert set(statuses(told).values()) == {"skipped"}
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def painted(path: Path) -> None:
    """Paint over a frame and keep its whole header, as a compositing program does."""
    frame = exr.read(path)
    rgb = np.array(frame.rgb, copy=True)
    rgb[10:20, 10:20] = 1.0
    other = path.with_name("painted.exr")
    exr.write_frame(frame, other, edits=[exr.Edit(frame, rgb, frame.origin_window)])
    other.replace(path)


def test_nothing_that_was_not_rendered_here_gets_a_record(production: Studio, made: SwapJob, tmp_path: Path):
    """A header that says all is well is no reason to keep a frame, let alone to vouch for it."""
    mine = to(made, tmp_path)
    do(production, mine, sign=False)
    whole = digests(tmp_path)
    painted(tmp_path / "out.1001.exr")
    painted(tmp_path / "out_uv.1002.exr")
    shards.path(tmp_path, "out", 1003).unlink()
    data = bytearray(shards.path(tmp_path, "out", 1004).read_bytes())
    data[len(data) // 2] ^= 1
    shards.path(tmp_path, "out", 1004).write_bytes(data)
    told = do(production, mine)
    assert set(statuses(told).values()) == {"rendered"}
    assert digests(tmp_path) == whole
    assert kinds(tmp_path) == []
    painted(tmp_path / "out.1001.exr")
    assert statuses(do(production, mine)) == {1001: "rendered", 1002: "skipped", 1003: "skipped", 1004: "skipped"}


def test_kept_frames_stand_for_the_job_that_kept_them(production: Studio, made: SwapJob, tmp_path: Path):
    do(production, to(made, tmp_path, frames="1001-1002"))
    consents = shard(tmp_path, 1001).made.consents
    told = do(production, to(made, tmp_path))
    assert list(statuses(told).values()) == ["skipped", "skipped", "rendered", "rendered"]
    (one,) = manifest.read(tmp_path / "out.provenance.json").statement.predicate.made
    assert (one.job.frames, one.consents) == ("1001-1004", consents)
    assert kinds(tmp_path) == []


def test_frames_with_other_knobs_are_told_apart(production: Studio, made: SwapJob, tmp_path: Path):
    do(production, to(made, tmp_path))
    changed = to(made, tmp_path, parameters=SwapParameters(mix=0.5))
    do(production, changed, "1002-1003", sign=False)
    found = provenance.verify(tmp_path, Trust(None, own_ring())).findings
    assert [(one.kind, one.frame) for one in found] == [("foreign", f) for f in (1002, 1002, 1003, 1003)], (
        "two files each"
    )
    assert shard(tmp_path, 1002).made.job_sha256[:12] in found[0].message
    do(production, changed, "1002-1003")
    assert kinds(tmp_path) == []
    predicate = manifest.read(tmp_path / "out.provenance.json").statement.predicate
    assert [entry.made for entry in predicate.frames] == [0, 1, 1, 0]


def test_another_models_frames_among_these_are_not_signed(production: Studio, made: SwapJob, tmp_path: Path):
    do(production, to(made, tmp_path))
    bent = production.model("provenance", network(mask=disc(radius=0.3)))
    other = to(made, tmp_path, model=bent, measurements=None)
    told = do(production, other, "1002")
    assert isinstance(told[-1], Done)
    assert told[-1].manifest == ""
    (warned,) = [event for event in told if isinstance(event, Warned) and event.code == "no_manifest"]
    assert "frames 1002 were made for another model" in warned.message


def test_a_key_that_cannot_be_made_costs_the_manifest_and_no_frame(
    production: Studio, made: SwapJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    told = do(production, to(made, tmp_path / "out"))
    assert isinstance(told[-1], Done)
    assert (told[-1].manifest, told[-1].counts["rendered"]) == ("", 4)
    assert [event.code for event in told if isinstance(event, Warned)] == ["no_manifest"]


_WORK = """
from pathlib import Path
from vfxswap import pipeline, provenance
from vfxswap.events import CancelToken, NullSink
from vfxswap.job import SwapJob
from vfxswap.sequence import FrameRange
from vfxswap.trust import Gate, KeyRing

made = SwapJob.load(Path(job))
gate = Gate(KeyRing.load(made.keyring), made.consents)
frames = FrameRange.parse(chunk) if chunk else None
sign = None if chunk else provenance.own_key
pipeline.swap(made, gate=gate, sink=NullSink(), cancel=CancelToken(), frames=frames, sign=sign)
"""


def worker(made: SwapJob, folder: Path, *, chunk: str = "", moment: int = -1) -> Any:
    """Another process that does a job, or a chunk of it."""
    path = folder / f"job{chunk}.json"
    made.save(path)
    return process(KILLED + _WORK, job=str(path), chunk=chunk, moment=moment)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_between_any_two_files_nothing_is_without_its_record(
    production: Studio, made: SwapJob, tmp_path: Path, overwrite: bool
):
    whole, out = tmp_path / "whole", tmp_path / "out"
    do(production, to(made, whole, frames="1001-1002"))
    if overwrite:  # over frames of other knobs
        do(production, to(made, out, frames="1001-1002", parameters=SwapParameters(mix=0.5)))
    mine = to(made, out, frames="1001-1002", overwrite=overwrite)
    moments = 0
    while True:
        running = worker(mine, tmp_path, moment=moments)
        running.join(120)
        if running.exitcode == 0:
            break
        assert running.exitcode == -signal.SIGKILL
        moments += 1
        for frame in (1001, 1002):
            if (out / f"out.{frame}.exr").exists() and not overwrite:
                assert shards.fits(out, shard(out, frame)), "a frame has its shard from the first moment on"
        resumed = Path(shutil.copytree(out, tmp_path / f"resumed{moments}")) if out.exists() else out
        do(production, to(made, resumed, frames="1001-1002"))
        assert digests(resumed) == digests(whole)
        assert content(resumed) == content(whole)
        assert kinds(resumed) == []
        assert not list(resumed.rglob(".*.tmp")), "swept"
        if not overwrite:
            shutil.rmtree(out, ignore_errors=True)
    # Two passes, two shards, two frames; the key's three files the first time; hash list, sidecar, manifest.
    assert moments >= 8


def test_chunks_of_several_workers_at_once_are_finalised_as_one(production: Studio, made: SwapJob, tmp_path: Path):
    do(production, to(made, tmp_path / "whole"))
    mine = to(made, tmp_path / "out")
    workers = [worker(mine, tmp_path, chunk=chunk) for chunk in ("1001,1004", "1002-1003", "1001-1002")]
    for one in workers:
        one.join(120)
    assert [one.exitcode for one in workers] == [0, 0, 0]
    assert not (tmp_path / "out" / "out.provenance.json").exists()
    assert not list((tmp_path / "out").glob("*.json"))
    provenance.merge(tmp_path / "out", "out", signer=own_key())
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert kinds(tmp_path / "out") == []


def test_a_job_without_consent_leaves_no_record(production: Studio, made: SwapJob, tmp_path: Path):
    gate = Gate(KeyRing.load(production.keyring), production.consents[:1])
    with pytest.raises(ConsentError):
        pipeline.swap(to(made, tmp_path / "out"), gate=gate, sink=RecordingSink(), cancel=CancelToken(), sign=own_key)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_is_what_the_contract_says(production: Studio, made: SwapJob, tmp_path: Path):
    do(production, to(made, tmp_path), "1003", sign=False)
    path = tmp_path / ".vfxswap" / "out" / "1003.json"
    data = json.loads(path.read_bytes())
    assert data["schema"] == "vfxswap.shard/1"
    assert set(data) == {
        *("schema", "sequence", "frame", "key", "altered", "plate", "files", "made", "sha256"),
    }
