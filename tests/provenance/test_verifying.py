"""Verifying: everything that was done to a sequence is found and named, by whoever has the public keys alone."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import exr, provenance
from vfxswap.errors import ProvenanceError
from vfxswap.provenance import Finding, Trust, manifest, shards, sidecar
from vfxswap.provenance.records import Predicate, Signing, Statement
from vfxswap.trust import KeyRing
from vfxswap.trust.canonical import dsse_bytes
from vfxswap.trust.keys import PrivateKey

from .made import MODEL, NOW, OTHER_MODEL, Office, clock, making, render, rewrite

needs_c2pa = pytest.mark.skipif(bool(sidecar.problem()), reason="c2pa-python is not installed")


def findings(out: Path, trust: Trust, **options: Any) -> list[Finding]:
    return list(provenance.verify(out, trust, **{"clock": clock, **options}).findings)


def said(found: list[Finding]) -> list[tuple[str, str, str, int | None]]:
    return [(one.rule.value, one.kind, one.file, one.frame) for one in found]


def test_what_was_signed_verifies(out: Path, office: Office):
    report = provenance.verify(out, office.trust, clock=clock)
    assert report.findings == ()
    (one,) = report.sequences
    assert (one.sequence, one.files, one.signed) == ("out", 8, NOW)
    assert [(s.kid, s.role, s.problem, s.own) for s in one.signers] == [("farm", "render", "", False)]


def test_only_the_manifest_the_frames_and_public_keys_are_needed(out: Path, office: Office):
    for name in (".vfxswap", "out.sha256"):
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert findings(out, office.trust) == []
    assert findings(out / "out.provenance.json", office.trust) == []


# -------------------------------------------------------------------------------------------------- frames


def test_every_kind_of_change_is_named(out: Path, office: Office):
    rewrite(out / "out.1001.exr", compression="zips")
    rewrite(out / "out.1002.exr", change=True)
    (out / "out_uv.1003.exr").unlink()
    data = (out / "out.1004.exr").read_bytes()
    (out / "out.1004.exr").write_bytes(data[: len(data) // 2])
    render(out, [1005], made=making(frames="1001-1005"))
    shutil.copy(out / "out.1005.exr", out / "loose.exr")
    found = findings(out, office.trust)
    assert said(found) == [
        ("VS-PRV-002", "rewritten", "out.1001.exr", 1001),
        ("VS-PRV-002", "changed", "out.1002.exr", 1002),
        ("VS-PRV-005", "missing", "out_uv.1003.exr", 1003),
        ("VS-PRV-002", "unreadable", "out.1004.exr", 1004),
        ("VS-PRV-006", "extra", "loose.exr", None),
        ("VS-PRV-006", "extra", "out.1005.exr", 1005),
        ("VS-PRV-006", "extra", "out_uv.1005.exr", 1005),
    ]
    assert "its shard says it was rendered for job" in found[5].message
    assert len({str(one) for one in found}) == 7
    assert all("\n" not in str(one) for one in found)


def test_written_again_may_be_accepted_changed_may_not(out: Path, office: Office):
    for frame in (1001, 1003):
        rewrite(out / f"out.{frame}.exr")
    assert [kind for _, kind, _, _ in said(findings(out, office.trust))] == ["rewritten"] * 2
    assert findings(out, office.trust, accept_rewritten=True) == []
    report = provenance.verify(out, office.trust, accept_rewritten=True, clock=clock)
    assert report.sequences[0].files == 8
    rewrite(out / "out.1002.exr", change=True)
    assert said(findings(out, office.trust, accept_rewritten=True)) == [("VS-PRV-002", "changed", "out.1002.exr", 1002)]


def test_a_frame_of_another_render_is_foreign(out: Path, office: Office, tmp_path: Path):
    """With its own valid shard, with its header alone, with nothing but another place in the sequence."""
    other, model = tmp_path / "other", tmp_path / "model"
    render(other, range(1001, 1005), made=making(mix=0.5), take=1)
    render(model, range(1001, 1005), made=making(model=OTHER_MODEL), take=2)
    for folder, frame in ((other, 1001), (model, 1002)):
        shutil.copy(folder / f"out.{frame}.exr", out)
        shutil.copy(shards.path(folder, "out", frame), shards.path(out, "out", frame))
    shutil.copy(model / "out.1003.exr", out)
    shutil.copy(out / "out_uv.1003.exr", out / "out_uv.1004.exr")
    found = findings(out, office.trust)
    assert said(found) == [
        ("VS-PRV-004", "foreign", "out.1001.exr", 1001),
        ("VS-PRV-004", "foreign", "out.1002.exr", 1002),
        ("VS-PRV-004", "foreign", "out.1003.exr", 1003),
        ("VS-PRV-004", "foreign", "out_uv.1004.exr", 1004),
    ]
    assert making(mix=0.5).job_sha256[:12] in found[0].message
    assert OTHER_MODEL[:12] in found[1].message
    assert MODEL[:12] not in found[1].message
    assert "header" in found[2].message
    assert "frame 1003" in found[3].message


def test_a_frame_in_the_wrong_place_is_found_even_when_it_was_written_again(out: Path, office: Office):
    shutil.copy(out / "out.1001.exr", out / "out.1002.exr")
    rewrite(out / "out.1002.exr")
    (one,) = findings(out, office.trust)
    assert (one.kind, one.frame) == ("foreign", 1002)
    assert "frame 1001" in one.message


def test_frames_of_the_job_that_were_never_signed_are_missing(tmp_path: Path, office: Office):
    render(tmp_path, [1001, 1003])
    provenance.merge(tmp_path, "out", signer=office.farm, clock=clock)
    (one,) = findings(tmp_path, office.trust)
    assert (one.rule.value, one.kind) == ("VS-PRV-005", "missing")
    assert "1002,1004" in one.message
    assert findings(tmp_path, office.trust, frames=[1001, 1003]) == []
    assert "1002" in findings(tmp_path, office.trust, frames=[1001, 1002])[0].message


def test_a_file_that_is_no_exr_any_more_is_unreadable(out: Path, office: Office):
    (out / "out.1002.exr").write_bytes(b"")
    (out / "out.1003.exr").unlink()
    (out / "out.1003.exr").mkdir()
    assert [(one.kind, one.frame) for one in findings(out, office.trust)] == [
        ("unreadable", 1002),
        ("unreadable", 1003),
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_flipped_bit_of_a_frame_is_found(signed: Path, office: Office, data: st.DataObject):
    name = data.draw(st.sampled_from(["out.1002.exr", "out_uv.1003.exr"]))
    with flipped(signed / name, data):
        (one,) = findings(signed, office.trust)
    assert one.file == name
    assert one.kind in ("changed", "rewritten", "unreadable", "foreign")


# ----------------------------------------------------------------------------------- manifest and company


class flipped:  # noqa: N801
    """One bit of a file turned, for the length of a `with`."""

    def __init__(self, path: Path, data: st.DataObject) -> None:
        self.path, self.before = path, path.read_bytes()
        self.at, self.bit = data.draw(st.integers(0, len(self.before) - 1)), data.draw(st.integers(0, 7))

    def __enter__(self) -> None:
        turned = bytearray(self.before)
        turned[self.at] ^= 1 << self.bit
        self.path.write_bytes(turned)

    def __exit__(self, *error: object) -> None:
        self.path.write_bytes(self.before)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_flipped_bit_of_the_manifest_is_found(signed: Path, office: Office, data: st.DataObject):
    with flipped(signed / "out.provenance.json", data):
        rules = {one.rule.value for one in findings(signed / "out.provenance.json", office.trust)}
    assert rules & {"VS-PRV-001", "VS-PRV-003"}


def test_every_bit_of_the_signature_and_around_it_counts(signed: Path, office: Office, tmp_path: Path):
    """All bits of the envelope but the payload's: among them those that base64 leaves unused."""
    before = (signed / "out.provenance.json").read_bytes()
    start = before.index(b'","payloadType"') - 3
    path = tmp_path / "out.provenance.json"
    for at in range(start, len(before)):
        for bit in range(8):
            turned = bytearray(before)
            turned[at] ^= 1 << bit
            path.write_bytes(turned)
            try:
                found = manifest.read(path)
            except ProvenanceError as error:
                assert error.code == "VS-PRV-001"
                continue
            assert all(signer.problem for signer in office.trust.signers(found)), (at, bit)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_flipped_bit_of_a_shard_is_found(signed: Path, office: Office, data: st.DataObject):
    with flipped(shards.path(signed, "out", 1002), data):
        found = findings(signed, office.trust)
    assert said(found) == [("VS-PRV-008", "shard", ".vfxswap/out/1002.json", None)]


@needs_c2pa
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_flipped_bit_of_the_sidecar_and_the_list_is_found(signed: Path, office: Office, data: st.DataObject):
    name = data.draw(st.sampled_from(["out.c2pa", "out.sha256"]))
    with flipped(signed / name, data):
        found = findings(signed, office.trust)
    assert said(found) == [("VS-PRV-007", "sidecar", name, None)]


@needs_c2pa
def test_the_sidecar_says_what_was_done_and_is_untrusted_elsewhere(out: Path, office: Office):
    import c2pa

    report = provenance.verify(out, office.trust, clock=clock)
    assert report.sequences[0].c2pa == "valid, by a self-made certificate that C2PA tools do not trust"
    with (out / "out.sha256").open("rb") as file:
        reader = c2pa.Reader("text/plain", file, manifest_data=(out / "out.c2pa").read_bytes())
        active = json.loads(reader.json())
    claim = active["manifests"][active["active_manifest"]]
    actions = claim["assertions"][0]["data"]["actions"]
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    told = next(one["data"] for one in claim["assertions"] if one["label"] == "org.vfxswap.provenance")
    assert (told["sequence"], told["frames"]) == ("out", "1001-1004")
    assert [code["code"] for code in active["validation_status"]] == ["signingCredential.untrusted"]
    (out / "out.c2pa").unlink()
    assert said(findings(out, office.trust)) == [("VS-PRV-007", "sidecar", "out.c2pa", None)]


@needs_c2pa
def test_a_sidecar_of_other_hashes_is_not_valid(office: Office, out: Path):
    found = manifest.read(out / "out.provenance.json")
    wrong, _ = sidecar.check((out / "out.c2pa").read_bytes(), manifest.hash_list(found.statement) + b"x")
    assert "assertion.dataHash.mismatch" in wrong


def test_a_sidecar_that_nobody_signed_for_is_found(office: Office, out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sidecar, "problem", lambda: "not installed")
    made = provenance.merge(out, "out", signer=office.farm, clock=clock)
    assert made.c2pa == "not installed"
    assert not (out / "out.c2pa").exists()
    assert findings(out, office.trust) == []
    (out / "out.c2pa").write_bytes(b"mine")
    assert said(findings(out, office.trust)) == [("VS-PRV-007", "sidecar", "out.c2pa", None)]


# ------------------------------------------------------------------------------------------------- signers


def resigned(out: Path, signer: PrivateKey, **changes: Any) -> None:
    """The manifest with a changed predicate, properly signed by somebody."""
    there = manifest.read(out / "out.provenance.json").statement.predicate
    changed = Predicate.model_validate(there.model_copy(update=changes).model_dump(by_alias=True))
    (out / "out.provenance.json").write_bytes(manifest.envelope(Statement.about(changed), signer))


def test_an_unknown_key_is_named_as_such(out: Path, office: Office):
    resigned(out, office.private("alien"))
    for trust in (office.trust, Trust()):
        (one,) = findings(out, trust)
        assert (one.rule.value, one.kind) == ("VS-PRV-003", "unknown_key")
        assert "alien" in one.message
    own = Trust(None, KeyRing(Path(), {"alien": _public(office, "alien")}))
    report = provenance.verify(out, own, clock=clock)
    assert report.findings == ()
    assert report.sequences[0].signers[0].own


def _public(office: Office, kid: str) -> Any:
    folder = office.root / "one"
    folder.mkdir(exist_ok=True)
    shutil.copy(office.root / "private" / f"{kid}.pub.json", folder)
    return KeyRing.load(folder).keys[kid]


@pytest.mark.parametrize("kid", ["perf", "revoker"])
def test_a_key_of_another_role_does_not_count(out: Path, office: Office, kid: str):
    resigned(out, office.private(kid))
    (one,) = findings(out, office.trust)
    assert (one.rule.value, one.kind) == ("VS-PRV-003", "signature")
    assert "may not sign a manifest" in one.message
    with pytest.raises(ProvenanceError, match="may not sign a manifest"):
        provenance.merge(out, "out", signer=office.private(kid), clock=clock)


def test_another_keys_signature_under_a_trusted_name_does_not_count(out: Path, office: Office):
    resigned(out, office.private("alien"))
    path = out / "out.provenance.json"
    path.write_bytes(path.read_bytes().replace(b'"alien"', b'"farm"'))
    (one,) = findings(out, office.trust)
    assert (one.kind, one.message) == ("signature", "farm: the signature does not fit the document")


def test_a_key_counts_for_its_performers_and_its_time(tmp_path: Path, signed: Path):
    office = Office.make(tmp_path / "office")
    office.key("carla-only", "render", "carla")
    office.key("old", "render", not_after=NOW - timedelta(days=1), not_before=NOW - timedelta(days=9))
    for kid, words in (("carla-only", "may not sign for performer anna"), ("old", "the key is valid")):
        out = Path(shutil.copytree(signed, tmp_path / kid))
        resigned(out, office.private(kid))
        (one,) = findings(out, office.trust)
        assert one.kind == "signature"
        assert words in one.message


def test_a_manifest_outlives_its_key_and_is_not_from_the_future(out: Path, office: Office):
    assert findings(out, office.trust, clock=lambda: NOW + timedelta(days=4000)) == []
    (one,) = findings(out, office.trust, clock=lambda: NOW - timedelta(days=1))
    assert "has not come yet" in one.message


def tamper(out: Path, change: Any) -> None:
    """Apply `change` to the statement and leave the signature as it was."""
    path = out / "out.provenance.json"
    outer = json.loads(path.read_bytes())
    statement = json.loads(base64.b64decode(outer["payload"]))
    change(statement)
    outer["payload"] = base64.b64encode(json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()).decode()
    path.write_text(json.dumps(outer))


def _drop_frame(statement: dict[str, Any]) -> None:
    del statement["predicate"]["frames"][1]
    del statement["subject"][2:4]


def _other_hash(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["sha256"] = "0" * 64
    statement["predicate"]["frames"][0]["files"][0]["sha256"] = "0" * 64


def _subject_alone(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["sha256"] = "0" * 64


def _other_consent(statement: dict[str, Any]) -> None:
    statement["predicate"]["made"][0]["consents"][0]["id"] = "urn:uuid:mine"


def _other_place(statement: dict[str, Any]) -> None:
    statement["subject"][0]["name"] = "../out.1001.exr"
    statement["predicate"]["frames"][0]["files"][0]["name"] = "../out.1001.exr"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (_drop_frame, "VS-PRV-003"),
        (_other_hash, "VS-PRV-003"),
        (_subject_alone, "VS-PRV-001"),
        (_other_consent, "VS-PRV-003"),
        (_other_place, "VS-PRV-001"),
    ],
)
def test_a_tampered_statement_is_found(out: Path, office: Office, change: Any, rule: str):
    tamper(out, change)
    assert rule in {one.rule.value for one in findings(out, office.trust)}


def test_a_trusted_signer_cannot_sign_subjects_that_are_not_the_frames(out: Path, office: Office):
    path = out / "out.provenance.json"
    statement = json.loads(manifest.read(path).payload)
    _subject_alone(statement)
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    signature = office.farm.sign_bytes(dsse_bytes(manifest.PAYLOAD_TYPE, payload))
    outer = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": manifest.PAYLOAD_TYPE,
        "signatures": [{"keyid": "farm", "sig": base64.b64encode(signature).decode()}],
    }
    path.write_text(json.dumps(outer))
    with pytest.raises(ProvenanceError, match="the subjects are not the files of the frames"):
        manifest.read(path)


def test_a_manifest_is_read_in_one_way_only(out: Path, office: Office):
    path = out / "out.provenance.json"
    before = path.read_text()
    twice = before.replace('{"payload":', '{"payload":"e30=","payload":', 1)
    loose = before[:-2] + ',"more":1}'
    renamed = before.replace("application/vnd.in-toto+json", "application/json")
    for text in (
        twice,
        loose,
        renamed,
        "",
        "[]",
        "null",
        before[: len(before) // 2],
        before.replace('"sig":"', '"sig":"\\n'),
    ):
        path.write_text(text)
        with pytest.raises(ProvenanceError) as caught:
            manifest.read(path)
        assert (caught.value.code, caught.value.exit_code) == ("VS-PRV-001", 77)
    path.write_text(before)
    shutil.copy(path, out / "other.provenance.json")
    with pytest.raises(ProvenanceError, match="it is about 'out'"):
        manifest.read(out / "other.provenance.json")


def test_without_a_manifest_nothing_is_known(out: Path, office: Office):
    (out / "out.provenance.json").unlink()
    found = findings(out, office.trust)
    assert (found[0].rule.value, found[0].kind) == ("VS-PRV-001", "no_manifest")
    assert "recorded but not signed" in found[0].message
    assert [one.kind for one in found[1:]] == ["extra"] * 8
    shutil.rmtree(out / ".vfxswap")
    assert "nothing says what this is" in findings(out, office.trust)[0].message


def test_two_sequences_of_a_folder_are_told_apart(out: Path, office: Office):
    render(out, range(1001, 1005), sequence="second", made=making(shot="show/sq/other"))
    assert {one.kind for one in findings(out, office.trust)} == {"extra"}
    provenance.merge(out, "second", signer=office.private("prod"), clock=clock)
    report = provenance.verify(out, office.trust, clock=clock)
    assert report.findings == ()
    assert [(one.sequence, one.signers[0].role) for one in report.sequences] == [
        ("out", "render"),
        ("second", "production"),
    ]
    rewrite(out / "second.1001.exr", change=True)
    assert findings(out / "out.provenance.json", office.trust) == []
    assert len(findings(out, office.trust)) == 1


def test_files_with_the_bytes_that_were_signed_are_not_decoded(tmp_path: Path, office: Office):
    """A frame of one byte, recorded as such, could not be: of pixels only the hash in its record is there."""
    render(tmp_path, [1001, 1002])
    one = shards.read(shards.path(tmp_path, "out", 1001))
    assert one is not None
    for file in one.files:
        (tmp_path / file.name).write_bytes(b"x")
    byte = hashlib.sha256(b"x").hexdigest()
    files = tuple(file.model_copy(update={"size": 1, "sha256": byte}) for file in one.files)
    shards.write(
        tmp_path,
        provenance.Shard.of(
            sequence="out", frame=1001, key=one.key, altered=True, plate=one.plate, files=files, made=one.made
        ),
    )
    provenance.merge(tmp_path, "out", signer=office.farm, clock=clock)
    assert findings(tmp_path, office.trust, frames=[1001, 1002]) == []
    (tmp_path / "out.1001.exr").write_bytes(b"y")
    (found,) = findings(tmp_path, office.trust, frames=[1001, 1002])
    assert (found.kind, found.frame) == ("unreadable", 1001), "another byte is looked into"


def test_a_long_sequence_keeps_its_statement_small(tmp_path: Path, office: Office):
    """The bytes of a manifest grow with the files and with nothing else."""
    render(tmp_path, [1001])
    shard = shards.read(shards.path(tmp_path, "out", 1001))
    assert shard is not None
    template = (tmp_path / "out.1001.exr").read_bytes(), (tmp_path / "out_uv.1001.exr").read_bytes()
    for frame in range(1002, 1102):
        names = [f"out.{frame}.exr", f"out_uv.{frame}.exr"]
        for name, data in zip(names, template, strict=True):
            (tmp_path / name).write_bytes(data)
        files = tuple(file.model_copy(update={"name": name}) for file, name in zip(shard.files, names, strict=True))
        wide = making(frames="1001-1101")
        one = provenance.Shard.of(
            sequence="out", frame=frame, key=shard.key, altered=True, plate=shard.plate, files=files, made=wide
        )
        shards.write(tmp_path, one)
    made = provenance.merge(tmp_path, "out", signer=office.farm, clock=clock)
    assert made.frames == 101
    assert made.path.stat().st_size < 101 * 2 * 800


def test_signing_time_and_sidecar_are_all_that_differs(out: Path, office: Office):
    first = manifest.read(out / "out.provenance.json").statement.predicate
    later = NOW + timedelta(days=1)
    provenance.merge(out, "out", signer=office.private("prod"), clock=lambda: later)
    second = manifest.read(out / "out.provenance.json").statement.predicate
    assert second.signing.time == later
    same = Signing(time=NOW)
    assert first.model_copy(update={"signing": same}) == second.model_copy(update={"signing": same})


def test_fingerprints_stay_what_they_are(signed: Path):
    for entry in manifest.read(signed / "out.provenance.json").statement.predicate.frames:
        for file in entry.files:
            found = exr.fingerprint(signed / file.name)
            assert (found.size, found.sha256, found.pixels) == (file.size, file.sha256, file.pixels)
            assert np.isfinite(exr.read(signed / file.name).rgb).all()


def test_a_shard_that_says_something_else_is_named(out: Path, office: Office):
    """The frame is as it was signed, and its shard is of another render."""
    shard = shards.read(shards.path(out, "out", 1002))
    assert shard is not None
    shards.write(out, shard.of_job(making(mix=0.5)))
    assert said(findings(out, office.trust)) == [("VS-PRV-008", "shard", ".vfxswap/out/1002.json", 1002)]
