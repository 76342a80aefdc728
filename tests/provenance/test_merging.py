"""Merging: one manifest, whoever rendered what and when, and whatever happens to whoever merges."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import exr, provenance
from vfxswap.errors import OutputError, ProvenanceError, ResourceError
from vfxswap.provenance import lock, manifest, own_key, own_ring, shards, sidecar
from vfxswap.provenance.records import Signing

from .made import KILLED, NOW, OTHER_MODEL, PASSPHRASE, Office, clock, event, making, pixels, process, render

SHOT = tuple(range(1001, 1009))
WHOLE = making(frames="1001-1008")


def at(time: datetime) -> Callable[[], datetime]:
    return lambda: time


def content(folder: Path) -> Any:
    """What a manifest says, but for when it was signed."""
    found = manifest.read(folder / "out.provenance.json").statement
    return found.subject, found.predicate.model_copy(update={"signing": Signing(time=NOW)})


@pytest.fixture(scope="module")
def whole(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the manifest of SHOT says when it was rendered at once."""
    folder = tmp_path_factory.mktemp("whole")
    render(folder, SHOT, made=WHOLE)
    assert provenance.merge(folder, "out", signer=office.farm, clock=clock).gaps == ()
    return content(folder)


@settings(max_examples=12, deadline=None)
@given(st.permutations(SHOT), st.sets(st.integers(1, len(SHOT) - 1)), st.booleans())
def test_any_chunks_in_any_order_make_the_same_manifest(
    tmp_path_factory: pytest.TempPathFactory, office: Office, whole: Any, order: list[int], cuts: set[int], early: bool
):
    """Per frame, one chunk, shuffled ones; merged at the end or after each, with other keys at other times."""
    folder = tmp_path_factory.mktemp("chunks")
    chunks = [order[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(SHOT)], strict=True)]
    for number, chunk in enumerate(chunks):
        render(folder, chunk, made=WHOLE)
        if early:
            made = provenance.merge(
                folder, "out", signer=office.private("prod"), clock=at(NOW + timedelta(hours=number))
            )
            assert bool(made.missing) == (number + 1 < len(chunks))
    provenance.merge(folder, "out", signer=office.farm, clock=clock)
    assert content(folder) == whole
    assert provenance.verify(folder, office.trust, clock=lambda: NOW + timedelta(days=1)).findings == ()


def test_merging_again_changes_nothing_until_there_is_something_to_change(office: Office, tmp_path: Path):
    render(tmp_path, SHOT, made=WHOLE)
    files = [manifest.manifest_path, manifest.list_path, *([] if sidecar.problem() else [manifest.sidecar_path])]

    def merged(hours: int, kid: str = "farm") -> tuple[bool, list[bytes]]:
        made = provenance.merge(tmp_path, "out", signer=office.private(kid), clock=lambda: NOW + timedelta(hours=hours))
        return made.signed_anew, [where(tmp_path, "out").read_bytes() for where in files]

    fresh, first = merged(0)
    assert fresh
    assert merged(1) == (False, first)
    for where in files:
        where(tmp_path, "out").write_bytes(b"x")
        fresh, again = merged(2)
        assert fresh
        assert again != first
        assert merged(3) == (False, again)
    assert merged(4, "prod")[0], "another key signs anew"
    render(tmp_path, [1003], made=making(frames="1001-1008", mix=0.5), take=1)
    assert merged(5, "prod")[0], "a frame was rendered again"


def test_the_hash_list_is_what_sha256sum_reads(office: Office, tmp_path: Path):
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum on this machine")
    render(tmp_path, SHOT, made=WHOLE)
    provenance.merge(tmp_path, "out", signer=office.farm, clock=clock)
    command = ["sha256sum", "--strict", "-c", "out.sha256"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 16), done.stderr


def test_the_envelope_is_dsse_and_the_statement_in_toto(office: Office, tmp_path: Path):
    """Checked with the words of the two specifications and nothing of ours."""
    render(tmp_path, [1001])
    path = provenance.merge(tmp_path, "out", signer=office.farm, clock=clock).path
    outer = json.loads(path.read_bytes())
    assert set(outer) == {"payload", "payloadType", "signatures"}
    payload = base64.b64decode(outer["payload"])
    kind = outer["payloadType"].encode()
    encoded = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
    (signature,) = outer["signatures"]
    assert signature["keyid"] == "farm"
    office.farm.secret.public_key().verify(base64.b64decode(signature["sig"]), encoded)
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:vfxswap:provenance:v1"
    names = ["out.1001.exr", "out_uv.1001.exr"]
    assert statement["subject"] == [
        {"name": name, "digest": {"sha256": exr.file_sha256(tmp_path / name)}} for name in names
    ]


# ------------------------------------------------------------------------------------------ what is refused


def test_frames_of_another_model_or_shot_are_not_signed_along(office: Office, tmp_path: Path):
    for other, word in ((making(model=OTHER_MODEL), "model"), (making(shot="show/sq/other"), "shot")):
        folder = tmp_path / word
        render(folder, [1001, 1002, 1004])
        render(folder, [1003], made=other)
        with pytest.raises(ProvenanceError, match=f"frames 1003 were made for another {word}") as caught:
            provenance.merge(folder, "out", signer=office.farm, clock=clock)
        assert (caught.value.code, caught.value.exit_code) == ("VS-PRV-004", 77)
        assert not list(folder.glob("out.prov*"))
        assert not list(folder.glob("out.sha256"))


def test_frames_of_other_settings_are_signed_and_told_apart(office: Office, tmp_path: Path):
    render(tmp_path, [1001, 1002])
    render(tmp_path, [1003, 1004], made=making(mix=0.5))
    path = provenance.merge(tmp_path, "out", signer=office.farm, clock=clock).path
    predicate = manifest.read(path).statement.predicate
    assert [entry.made for entry in predicate.frames] == [0, 0, 1, 1]
    assert [one.job.faces[0].parameters for one in predicate.made] == [{"mix": 1.0}, {"mix": 0.5}]


def test_what_is_not_recorded_is_not_signed_and_is_said(office: Office, tmp_path: Path):
    render(tmp_path, [1001, 1002, 1003])
    shards.path(tmp_path, "out", 1002).write_bytes(b"{}")
    exr.write_channels(tmp_path / "out.0999.exr", channels=pixels(7))
    exr.write_channels(tmp_path / "elsewhere.1001.exr", channels=pixels(8))
    (tmp_path / "out.1003.exr").unlink()
    made = provenance.merge(tmp_path, "out", signer=office.farm, clock=clock)
    assert made.frames == 1
    assert made.missing == "1002-1004"
    assert made.unrecorded == ("out.0999.exr", "out.1002.exr", "out_uv.1002.exr", "out_uv.1003.exr")
    assert [path.name for path in made.damaged] == ["1002.json"]
    assert len(made.gaps) == 3


def test_a_shard_under_another_frames_name_does_not_count(office: Office, tmp_path: Path):
    render(tmp_path, [1001, 1002])
    shutil.copy(shards.path(tmp_path, "out", 1001), shards.path(tmp_path, "out", 1003))
    made = provenance.merge(tmp_path, "out", signer=office.farm, clock=clock)
    assert [path.name for path in made.damaged] == ["1003.json"]


def test_nothing_to_sign(office: Office, tmp_path: Path):
    exr.write_channels(tmp_path / "out.1001.exr", channels=pixels(7))
    with pytest.raises(ProvenanceError) as caught:
        provenance.merge(tmp_path, "out", signer=office.farm, clock=clock)
    assert caught.value.code == "VS-PRV-001"


def test_a_frame_that_changed_after_it_was_rendered_is_not_made_good_by_signing(office: Office, tmp_path: Path):
    render(tmp_path, SHOT[:4])
    exr.write_channels(tmp_path / "out.1002.exr", channels=pixels(1002, take=5))
    provenance.merge(tmp_path, "out", signer=office.farm, clock=clock)
    (one,) = provenance.verify(tmp_path, office.trust, clock=clock).findings
    assert (one.kind, one.frame) == ("changed", 1002)


# -------------------------------------------------------------------------------- kills, and two at a time


_MERGE = """
from pathlib import Path
from vfxswap import provenance
from vfxswap.trust.keys import PrivateKey

for _ in range(times):
    provenance.merge(Path(folder), "out", signer=PrivateKey.load(Path(key), passphrase=passphrase))
"""


def merging(office: Office, folder: Path, kid: str, code: str = "", *, times: int = 1, **more: Any) -> Any:
    """Another process that merges."""
    key = str(office.root / "private" / f"{kid}.key.pem")
    return process(code + _MERGE, folder=str(folder), key=key, passphrase=PASSPHRASE, times=times, **more)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_at_any_moment_of_a_merge_the_next_one_makes_it_good(office: Office, tmp_path: Path):
    render(tmp_path, SHOT, made=WHOLE)
    provenance.merge(tmp_path, "out", signer=office.private("prod"), clock=clock)
    render(tmp_path, [1004], made=making(frames="1001-1008", mix=0.5), take=1)
    before = (tmp_path / "out.provenance.json").read_bytes()
    moments = 0
    for count in range(10):
        running = merging(office, tmp_path, "farm", KILLED, moment=count)
        running.join(60)
        there = (tmp_path / "out.provenance.json").read_bytes()
        manifest.read(tmp_path / "out.provenance.json")  # whole, the old one or the new one
        if running.exitcode == 0:
            break
        assert running.exitcode == -signal.SIGKILL
        assert there == before
        moments += 1
    assert moments >= 2
    assert provenance.verify(tmp_path, office.trust).findings == ()
    assert not list(tmp_path.rglob(".*.tmp")), "swept by the merge that came through"


def test_two_that_merge_at_once_leave_one_whole_manifest(office: Office, tmp_path: Path, whole: Any):
    """With two keys, so that each signs anew what the other signed."""
    render(tmp_path, SHOT, made=WHOLE)
    start = event()
    workers = [merging(office, tmp_path, kid, "start.wait()\n", times=15, start=start) for kid in ("farm", "prod")]
    start.set()
    while any(worker.is_alive() for worker in workers):
        if (tmp_path / "out.provenance.json").exists():
            manifest.read(tmp_path / "out.provenance.json")
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert content(tmp_path) == whole
    assert provenance.verify(tmp_path, office.trust).findings == ()


_HOLD = """
from pathlib import Path
from vfxswap.provenance import lock

with lock.held(Path(path)):
    held.set()
    done.wait(30)
"""


def test_a_lock_is_waited_for_and_ends_with_its_process(tmp_path: Path):
    held, done = event(), event()
    other = process(_HOLD, path=str(tmp_path / "deep" / ".lock"), held=held, done=done)
    assert held.wait(30)
    with pytest.raises(ResourceError, match="holds the lock"), lock.held(tmp_path / "deep" / ".lock", patience=0.1):
        pass
    other.kill()
    other.join()
    with lock.held(tmp_path / "deep" / ".lock", patience=5):
        pass


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said(office: Office, tmp_path: Path):
    render(tmp_path, [1001])
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission"):
        provenance.merge(tmp_path, "out", signer=office.farm, clock=clock)


# ------------------------------------------------------------------------------------------------ the own key


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "vfxswap" / "render"


def test_the_own_key_is_made_once_and_is_private(at_home: Path):
    assert own_ring() is None
    assert not at_home.exists(), "looking for it makes none"
    first, second = own_key(), own_key()
    assert (first.role, first.kid) == ("render", second.kid)
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in at_home.iterdir() if path.name != ".lock"}
    assert modes == {".json": 0o644 & modes[".json"], ".pem": 0o600, ".passphrase": 0o600}
    assert at_home.stat().st_mode & 0o777 == 0o700
    assert b"ENCRYPTED" in next(at_home.glob("*.key.pem")).read_bytes()
    ring = own_ring()
    assert ring is not None
    assert ring.keys[first.kid].raw == first.secret.public_key().public_bytes_raw()


def test_a_key_that_ran_out_or_was_not_finished_is_replaced_and_still_known(at_home: Path):
    old = own_key(clock=lambda: NOW - timedelta(days=4000))
    new = own_key(clock=lambda: NOW)
    assert old.kid != new.kid
    ring = own_ring()
    assert ring is not None
    assert set(ring.keys) == {old.kid, new.kid}
    (at_home / f"{new.kid}.passphrase").unlink()
    assert own_key(clock=lambda: NOW).kid not in (old.kid, new.kid)


_OWN = """
from vfxswap import provenance

start.wait()
provenance.own_key()
"""


def test_two_that_need_a_key_at_once_make_one(at_home: Path):
    start = event()
    workers = [process(_OWN, start=start) for _ in range(4)]
    start.set()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(list(at_home.glob("*.pub.json"))) == 1


def test_a_damaged_key_is_said_and_not_replaced(at_home: Path):
    kid = own_key().kid
    (at_home / f"{kid}.pub.json").write_text("{}")
    with pytest.raises(Exception, match="not a valid document"):
        own_key()
    assert len(list(at_home.glob("*.key.pem"))) == 1
