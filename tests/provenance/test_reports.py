"""QC reports beside their frames: the manifest names them, and what is done to them is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import exr, provenance
from vfxswap.errors import ProvenanceError
from vfxswap.provenance import Trust, manifest, own_key, own_ring, reports
from vfxswap.trust.canonical import now_utc

from .made import Office, clock, render
from .test_verifying import findings, flipped, said

FRAMES = range(1001, 1005)


def report(out: Path, name: str = "out.qc.json", **frames: str) -> Path:
    """A report of the frames as they are; `frames`: other hashes, by `f1001`."""
    told = [{"frame": f, "sha256": frames.get(f"f{f}", exr.file_sha256(out / f"out.{f}.exr"))} for f in FRAMES]
    path = out / name
    path.write_text(json.dumps({"schema": "vfxswap.qc/1", "frames": told}))
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A sequence that this user's own key signed."""
    render(tmp_path / "own", FRAMES)
    provenance.merge(tmp_path / "own", "out", signer=own_key())
    return tmp_path / "own"


@pytest.fixture(scope="module")
def covered(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sequence and its report, signed together by the farm's key."""
    folder = tmp_path_factory.mktemp("covered")
    render(folder, FRAMES)
    report(folder)
    made = provenance.merge(folder, "out", signer=office.farm, clock=clock)
    assert (made.qc, made.other_qc, made.gaps) == (("out.qc.json",), (), ())
    return folder


def test_a_manifest_names_the_report_beside_its_frames(covered: Path, office: Office) -> None:
    found = provenance.verify(covered, office.trust, clock=clock)
    assert found.findings == () and found.sequences[0].qc == "out.qc.json as signed"
    subjects = manifest.read(covered / "out.provenance.json").statement.subject
    assert [one.name for one in subjects][-1] == "out.qc.json"
    assert "qc.json" not in (covered / "out.sha256").read_text(), "a delivery without the report is whole"
    assert provenance.facts(provenance.read_manifest(covered / "out.provenance.json"))["QC reports"] == "out.qc.json"
    assert not provenance.merge(covered, "out", signer=office.farm, clock=clock).signed_anew


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_flipped_bit_of_a_report_is_found(covered: Path, office: Office, data: st.DataObject) -> None:
    with flipped(covered / "out.qc.json", data):
        assert said(findings(covered, office.trust)) == [("VS-PRV-009", "report", "out.qc.json", None)]


def test_a_report_that_is_gone_is_found(own: Path) -> None:
    path = report(own)
    assert provenance.cover(path, "out") == ""
    path.unlink()
    trust = Trust(None, own_ring())
    assert said(findings(own, trust, clock=now_utc)) == [("VS-PRV-009", "report", "out.qc.json", None)]
    provenance.merge(own, "out", signer=own_key())
    assert findings(own, trust, clock=now_utc) == [], "signed again without it"


def test_covering_changes_nothing_else_of_the_manifest(own: Path) -> None:
    trust, path = Trust(None, own_ring()), own / "out.provenance.json"
    before = manifest.read(path).statement.predicate
    assert before.qc is None and b'"qc"' not in manifest.read(path).payload, "old manifests keep their bytes"
    left = {one.name: one.read_bytes() for one in own.iterdir() if one.is_file() and one != path}
    for name in ("out.qc.json", "out.left.qc.json"):
        assert provenance.cover(report(own, name), "out") == ""
    after = manifest.read(path).statement.predicate
    assert [entry.name for entry in after.qc or ()] == ["out.left.qc.json", "out.qc.json"]
    assert after.model_copy(update={"qc": None, "signing": before.signing}) == before
    assert after.signing.c2pa == before.signing.c2pa
    assert {name: (own / name).read_bytes() for name in left} == left
    assert findings(own, trust, clock=now_utc) == []
    data = path.read_bytes()
    assert provenance.cover(own / "out.qc.json", "out") == "" and path.read_bytes() == data


def test_a_report_of_other_frames_is_not_signed(own: Path, office: Office) -> None:
    path = report(own, f1002="0" * 64)
    assert provenance.cover(path, "out").startswith("it speaks of frames that are not those in the manifest")
    made = provenance.merge(own, "out", signer=office.farm, clock=clock)
    assert (made.qc, made.other_qc) == ((), ("out.qc.json",))
    found = provenance.verify(own, office.trust, clock=clock)
    assert found.findings == () and found.sequences[0].qc == "out.qc.json not signed"


def test_a_report_is_not_of_another_sequence_or_place(own: Path, tmp_path: Path) -> None:
    assert "only a report beside its frames" in provenance.cover(report(own, "other.qc.json"), "out")
    bare = tmp_path / "bare"
    render(bare, FRAMES)
    assert "its frames are not signed either" in provenance.cover(report(bare), "out")
    assert not (bare / "out.provenance.json").exists()


def test_somebody_elses_signature_is_not_replaced(out: Path) -> None:
    data = (out / "out.provenance.json").read_bytes()
    own_key()
    assert "signed with another key, farm" in provenance.cover(report(out), "out")
    assert (out / "out.provenance.json").read_bytes() == data


def test_a_manifest_that_was_tampered_with_is_not_signed_again(own: Path) -> None:
    path = own / "out.provenance.json"
    envelope = json.loads(path.read_bytes())
    other = manifest.envelope(manifest.read(path).statement, _Wrong(envelope["signatures"][0]["keyid"]))  # type: ignore[arg-type]
    path.write_bytes(other)
    with pytest.raises(ProvenanceError, match="VS-PRV-003"):
        provenance.cover(report(own), "out")
    assert path.read_bytes() == other


class _Wrong:
    """A signer that claims another's key."""

    def __init__(self, kid: str) -> None:
        self.kid = kid

    def sign_bytes(self, _message: bytes) -> bytes:
        return b"\0" * 64


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        {"schema": "vfxswap.qc/2"},
        {"frames": []},
        {"frames": [{"frame": [], "sha256": 0}]},
    ],
)
def test_what_is_no_report_is_none(own: Path, value: Any) -> None:
    path = report(own)
    whole = json.loads(path.read_bytes())
    path.write_bytes(value if isinstance(value, bytes) else json.dumps({**whole, **value}).encode())
    hashes = {f: exr.file_sha256(own / f"out.{f}.exr") for f in FRAMES}
    assert reports.beside(own, "out", hashes) == reports.Reports((), ("out.qc.json",))
