"""Each thing that can be wrong is found, by its code, in the frames that have it; a good render has none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfxswap import exr, provenance, trust
from vfxswap.archive import sha256
from vfxswap.errors import ConsentError, OutputError, ProvenanceError
from vfxswap.events import CancelToken, NullSink
from vfxswap.geometry import Window
from vfxswap.provenance import shards
from vfxswap.publish import RULES
from vfxswap.publish.integrate import integrate
from vfxswap.publish.rules import BY_CODE
from vfxswap.sequence import FrameRange

from .. import support
from .conftest import FRAMES, Shot, consent, rendered, rewrite

Break = Callable[[Shot], Shot | None]


def _paint(value: float, where: Any = (slice(0, 4), slice(0, 4)), name: str = "G") -> Callable[[dict[str, Any]], None]:
    def change(channels: dict[str, Any]) -> None:
        channels[name][where] = value

    return change


def _each(change: Callable[[Path], object], frames: tuple[int, ...] = (1002,)) -> Break:
    def do(shot: Shot) -> None:
        for frame in frames:
            change(shot.frame(frame))

    return do


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:900])


def _only_rgb(channels: dict[str, Any]) -> None:
    for name in [name for name in channels if name not in "RGB"]:
        del channels[name]


def _float(channels: dict[str, Any]) -> None:
    channels["R"] = channels["R"].astype(np.float32)


def _crop(path: Path) -> None:
    channels, found = exr.read_channels(path)
    window = exr.probe(path).parts[0].data_window
    smaller = Window(window.x, window.y, window.width - 8, window.height)
    kept: dict[str, exr.Attribute] = {name: value for name, value in found.items() if name.startswith("vfx")}
    exr.write_channels(path, channels={n: np.ascontiguousarray(p[:, :-8]) for n, p in channels.items()},
                       attributes=kept, data_window=smaller, display_window=window)  # fmt: skip


def _resize(path: Path) -> None:
    channels, _ = exr.read_channels(path)
    exr.write_channels(path, channels={n: np.ascontiguousarray(p[::2, ::2]) for n, p in channels.items()})


def _brighter(shot: Shot) -> None:
    """The face of one frame a tenth of a stop brighter, where it was replaced."""
    plate, _ = exr.read_channels(Path(shot.job.plate.replace("####", "1003")))

    def change(channels: dict[str, Any]) -> None:
        differ = np.any([channels[c] != plate[c] for c in "RGB"], axis=0)
        for name in "RGB":
            channels[name][differ] *= np.float16(2**0.12)

    rewrite(shot.frame(1003), change)


def _longer(shot: Shot) -> Shot:
    return shot.change(frames="1001-1003")


def _renamed(shot: Shot) -> None:
    shot.frame(1002).rename(shot.output / "out_1002_copy.exr")


def _plate_gone(shot: Shot) -> Shot:
    own = shot.own_plate()
    Path(own.job.plate.replace("####", "1002")).write_bytes(b"no exr")
    return own


def _other_model(shot: Shot) -> Shot:
    return shot.change(model=shot.studio.model("plain", support.network(support.PASS_THROUGH)))


def _other_config(shot: Shot) -> Shot:
    return shot.change(color_config="ocio://studio-config-v2.2.0_aces-v1.3_ocio-v2.4")


def _other_space(shot: Shot) -> Shot:
    return shot.change(color_space="Linear Rec.709 (sRGB)")


def _unsigned(shot: Shot) -> None:
    provenance.manifest_path(shot.output, "out").unlink()


def _alien(shot: Shot) -> None:
    """The manifest signed by a key that nobody here knows."""
    pair = trust.keygen(shot.root / "alien", kid="alien", role="render", performers=["*"], passphrase="correct horse b")
    key = trust.keys.PrivateKey.load(pair.private, passphrase="correct horse b")
    provenance.merge(shot.output, "out", signer=key)


def _swapped_round(shot: Shot) -> None:
    shutil.copy(shot.frame(1003), shot.frame(1002))


def _lost_pass(shot: Shot) -> None:
    """A pass of the record is gone while the frame is there."""
    (shot.output / "out_uv.1002.exr").unlink()


def _extra(shot: Shot) -> None:
    """A frame that was signed without a record of its own."""
    shards.path(shot.output, "out", 1004).unlink()
    provenance.merge(shot.output, "out", signer=provenance.own_key())


def _untracked(shot: Shot) -> None:
    for track in shot.output.glob(".vfxswap/out/*.vfxtrack"):
        track.unlink()


def _listed(shot: Shot) -> None:
    (shot.output / "out.sha256").write_text("0" * 64 + "  out.1001.exr\n")


def _signed_report(shot: Shot) -> Path:
    """A QC report beside the frames, which the manifest names."""
    path = shot.output / "out.qc.json"
    shutil.move(_report(shot), path)
    assert provenance.cover(path, "out") == ""
    return path


def _changed_report(shot: Shot) -> None:
    path = _signed_report(shot)
    path.write_text(path.read_text().replace('"flicker": 0.1', '"flicker": 0.0'))


def _shard(shot: Shot) -> None:
    shards.path(shot.output, "out", 1002).write_text("{}")


def _black(names: Callable[[str], bool]) -> Callable[[dict[str, Any]], None]:
    def change(channels: dict[str, Any]) -> None:
        for name in channels:
            if names(name):
                channels[name][...] = 0

    return change


def _report(
    shot: Shot, *, flicker: float = 0.1, stray: float = 0.0, alarms: tuple[str, ...] = (), wrong: bool = False
) -> Path:
    """A QC report of the frames, with what a publish looks at."""
    frames = [
        {"frame": f, "sha256": "0" * 64 if wrong else exr.file_sha256(shot.frame(f)), "alarms": list(alarms),
         "reasons": [f"{name} is beyond" for name in alarms], "values": {"flicker": flicker, "stray": stray}}
        for f in FRAMES
    ]  # fmt: skip
    value = {"schema": "vfxswap.qc/1", "limits": [{"name": "flicker", "most": 2.0}], "frames": frames}
    path = shot.root / "qc.json"
    path.write_text(json.dumps(value))
    return path


PRIMARIES = (0.6, 0.3, 0.3, 0.6, 0.1, 0.1, 0.3, 0.3)

BREAKS: dict[str, tuple[str, Break]] = {
    "VS-SEQ-001": ("comp", lambda shot: shot.frame(1002).unlink()),
    "VS-SEQ-002": ("comp", _longer),
    "VS-SEQ-003": ("comp", _each(_truncate)),
    "VS-SEQ-004": ("comp", _renamed),
    "VS-SEQ-006": ("comp", _plate_gone),
    "VS-IMG-001": ("comp", _each(_resize)),
    "VS-IMG-002": ("comp", _each(_crop)),
    "VS-IMG-003": ("comp", _each(lambda path: rewrite(path, attributes={"PixelAspectRatio": 2.0}))),
    "VS-IMG-004": ("comp", _each(lambda path: rewrite(path, lambda channels: channels.pop("B")))),
    "VS-IMG-005": ("comp", _each(lambda path: rewrite(path, _float))),
    "VS-IMG-006": ("comp", _each(lambda path: rewrite(path, compression="dwaa"))),
    "VS-IMG-007": ("comp", _each(lambda path: rewrite(path, _paint(np.nan, (128, slice(100, 110)))))),
    "VS-IMG-008": ("ingredients", _each(lambda path: rewrite(path, _paint(1.5, (128, 128), "matte.face")))),
    "VS-IMG-009": ("comp", _each(lambda path: rewrite(path, _paint(-0.25, (128, 128))))),
    "VS-COL-001": ("comp", _each(lambda path: rewrite(path, attributes={"colorInteropID": "lin_rec709_scene"}))),
    "VS-COL-002": ("comp", _other_config),
    "VS-COL-003": ("comp", _each(lambda path: rewrite(path, attributes={"chromaticities": PRIMARIES}))),
    "VS-MET-001": ("comp", _each(lambda path: rewrite(path, drop=("vfxtest:frame",)))),
    "VS-MAT-001": ("ingredients", _each(lambda path: rewrite(path, _only_rgb))),
    "VS-MAT-002": ("ingredients", _each(lambda path: rewrite(path, _black(lambda name: name == "face.A")))),
    "VS-MAT-003": ("comp", _each(lambda path: rewrite(path, _paint(4.0)))),
    "VS-MAT-004": ("comp", _untracked),
    "VS-TMP-001": ("comp", _brighter),
    "VS-MOD-001": ("comp", _other_model),
    "VS-PRV-001": ("comp", _unsigned),
    "VS-PRV-002": ("comp", _each(lambda path: rewrite(path, _paint(4.0)))),
    "VS-PRV-003": ("comp", _alien),
    "VS-PRV-004": ("comp", _swapped_round),
    "VS-PRV-006": ("comp", _extra),
    "VS-PRV-007": ("comp", _listed),
    "VS-PRV-008": ("comp", _shard),
    "VS-PRV-009": ("comp", _changed_report),
    "VS-PRV-010": ("comp", lambda shot: shot.change(shot="show/sq/other")),
}  # fmt: skip
"""Code -> what is rendered, and what is done to it."""

ONE_FRAME = {code for code in BREAKS if code.startswith(("VS-IMG", "VS-MET", "VS-MAT-00", "VS-SEQ-001", "VS-SEQ-003"))}


@pytest.mark.parametrize("kind", ["comp", "ingredients"])
def test_a_good_render_has_nothing_wrong(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found = request.getfixturevalue(kind).elsewhere(tmp_path).examine()
    assert [str(finding) for finding in found.findings] == []
    assert found.ok
    assert found.facts["frames_read"] == {"out": "4 of 4"}


@pytest.mark.parametrize("code", BREAKS)
def test_what_is_wrong_is_found(code: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    kind, broken = BREAKS[code]
    good = request.getfixturevalue(kind).elsewhere(tmp_path)
    report = (broken(good) or good).examine()
    (finding, *_) = [found for found in report.findings if found.code == code] or [None]
    assert finding is not None, [str(found) for found in report.findings]
    assert finding.stops != BY_CODE[code].warning
    assert report.ok == (finding.rule.warning and not any(other.stops for other in report.findings))
    if code in ONE_FRAME - {"VS-MAT-004"}:
        assert finding.frames == (1002,)
    assert BY_CODE[code].do in str(finding)


def test_every_rule_is_broken_by_a_test() -> None:
    elsewhere = {
        "VS-SEQ-005",  # test_versions.py
        "VS-PRV-005", "VS-TMP-002", "VS-TMP-003", "VS-TMP-004",  # below
        "VS-CON-000", "VS-MOD-002",  # test_people.py, and tests/trust/test_matrix.py
    }  # fmt: skip
    assert {rule.code for rule in RULES} == set(BREAKS) | elsewhere


def test_a_pass_that_is_gone(tmp_path: Path, production: support.Studio, face_plate: str) -> None:
    shot = rendered(tmp_path, production, face_plate, passes=["uv"])
    assert shot.codes() == set()
    _lost_pass(shot)
    (finding,) = shot.examine().findings
    assert (finding.code, finding.frames, finding.files) == ("VS-PRV-005", (1002,), ("out_uv.1002.exr",))


def test_one_cause_is_said_once(shot: Shot) -> None:
    """A missing or unreadable frame also fails its hash: who reads the list is told what it is, once."""
    shot.frame(1002).unlink()
    _truncate(shot.frame(1003))
    assert shot.codes() == {"VS-SEQ-001", "VS-SEQ-003"}


def test_nan_of_the_plate_is_no_fault_of_the_swap(tmp_path: Path, production: support.Studio) -> None:
    pattern = support.write_plate(tmp_path / "plate", frames=2)
    for frame in (1001, 1002):
        rewrite(Path(pattern.replace("####", str(frame))), _paint(np.inf))
    assert rendered(tmp_path, production, pattern).codes() == set()


def test_channels_beside_the_picture_are_the_plates_everywhere(tmp_path: Path, production: support.Studio) -> None:
    for frame in (1001, 1002):
        depth = np.full((256, 256), 7.5, np.float16)
        path = tmp_path / "plate" / f"shot.{frame}.exr"
        path.parent.mkdir(exist_ok=True)
        support.write_frame(path, support.astronaut(shift=frame - 1001), frame=frame, extra={"Z": depth})
    shot = rendered(tmp_path, production, str(tmp_path / "plate" / "shot.####.exr"))
    assert shot.codes() == set()
    rewrite(shot.frame(1002), _paint(1.0, (128, 128), "Z"))  # in the middle of the face
    assert "VS-MAT-003" in shot.codes()


def test_negative_zero_is_not_zero(shot: Shot) -> None:
    """Bits count: nothing outside the matte changes, not even a sign."""

    def change(channels: dict[str, Any]) -> None:
        channels["R"][0, 0] = -channels["R"][0, 0]

    rewrite(shot.frame(1001), change)
    assert "VS-MAT-003" in shot.codes()


def test_a_patch_is_looked_at(tmp_path: Path, production: support.Studio, face_plate: str) -> None:
    shot = rendered(tmp_path, production, face_plate, layers="patch")
    assert shot.codes() == set()
    rewrite(shot.frame(1002), _paint(2.0, (slice(30, 40), slice(30, 40)), "A"))
    rewrite(shot.frame(1003), lambda channels: channels.pop("A"))
    assert {"VS-IMG-008", "VS-MAT-001", "VS-PRV-002"} <= shot.codes()


def test_a_gap_wants_an_artists_word(tmp_path: Path, production: support.Studio) -> None:
    """The face is not there for two frames: their plate is published only once somebody said yes."""
    pattern = support.write_plate(tmp_path / "plate", frames=7)
    for frame in (1003, 1004, 1005):
        support.write_frame(Path(pattern.replace("####", str(frame))), np.full((256, 256, 3), 0.2), frame=frame)
    shot = rendered(tmp_path, production, pattern)
    entries = provenance.read_manifest(provenance.manifest_path(shot.output, "out")).statement.predicate.frames
    gap = [entry.frame for entry in entries if not entry.altered]
    assert gap and set(gap) <= {1003, 1004, 1005}
    (finding,) = (found for found in shot.examine().findings if found.stops)
    assert (finding.code, list(finding.frames)) == ("VS-TMP-002", gap)
    assert not [f for f in shot.examine(approved=FrameRange.of(gap)).findings if f.code == "VS-TMP-002"]
    assert [f.frames for f in shot.examine(approved=FrameRange.of(gap[1:])).findings if f.code == "VS-TMP-002"] == [
        tuple(gap[:1])
    ]


# -------------------------------------------------------------------------------------------- QC as evidence


def test_a_qc_report_saves_reading_and_is_heard(shot: Shot) -> None:
    report = shot.examine(qc=_report(shot))
    assert report.ok and report.findings == ()
    assert report.facts["frames_read"] == {"out": "2 of 4"}  # a sample
    assert report.facts["qc_sha256"] == sha256((shot.root / "qc.json").read_bytes())
    flickers = shot.examine(qc=_report(shot, flicker=3.0))
    assert {found.code for found in flickers.findings} == {"VS-TMP-001"} and not flickers.ok
    alarmed = shot.examine(qc=_report(shot, alarms=("seam",)))
    assert [found.code for found in alarmed.findings] == ["VS-TMP-003"] and alarmed.ok
    assert alarmed.facts["frames_read"] == {"out": "2 of 4"}  # a seam is not to be seen here
    doubted = shot.examine(qc=_report(shot, stray=3.0))
    assert doubted.facts["frames_read"] == {"out": "4 of 4"}


def test_a_signed_qc_report_is_published_with_the_frames(shot: Shot) -> None:
    assert shot.examine(qc=_report(shot)).facts["qc_signed"] == {"out": False}
    path = _signed_report(shot)
    report = shot.examine(qc=path)
    assert report.findings == () and report.facts["qc_signed"] == {"out": True}
    done = integrate(report, sink=NullSink(), cancel=CancelToken())
    assert (done.folder / path.name).read_bytes() == path.read_bytes()
    assert provenance.verify(done.folder, shot.request().trust()).findings == ()
    path.write_text("{}")
    with pytest.raises(ProvenanceError, match=r"VS-PRV-002 out\.qc\.json is not the file that was signed"):
        integrate(report, sink=NullSink(), cancel=CancelToken())
    path.unlink()
    assert [(one.code, one.files) for one in shot.examine().findings] == [("VS-PRV-009", ("out.qc.json",))]
    assert shot.versions == ["v001"]


def test_a_qc_report_of_other_frames_counts_for_nothing(shot: Shot) -> None:
    report = shot.examine(qc=_report(shot, wrong=True))
    assert [found.code for found in report.findings] == ["VS-TMP-004"]
    assert report.facts["frames_read"] == {"out": "4 of 4"}
    path = _report(shot)
    rewrite(shot.frame(1003), _paint(4.0))  # after QC, and after it was signed
    assert "VS-PRV-002" in shot.codes(qc=path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "vfxswap.qc/9"}', '{"schema": "vfxswap.qc/1"}'])
def test_what_is_no_qc_report(shot: Shot, text: str) -> None:
    (shot.root / "bad.json").write_text(text)
    with pytest.raises(OutputError, match=r"no QC report|is newer than"):
        shot.examine(qc=shot.root / "bad.json")


# ------------------------------------------------------------------------------------------------- consent


def test_consent_comes_before_anything_is_read(shot: Shot) -> None:
    for frame in FRAMES:
        shot.frame(frame).unlink()
    with pytest.raises(ConsentError, match="VS-CON-001"):
        shot.change(consents=()).examine()
    with pytest.raises(OutputError, match="no frame of the job is there"):
        shot.examine()


def test_a_consent_that_the_frames_were_rendered_under_must_still_hold(shot: Shot, tmp_path: Path) -> None:
    """Fresh consents do not help frames whose own consent was withdrawn since."""
    ring = Path(shutil.copytree(shot.studio.keyring, tmp_path / "ring"))
    fresh = [consent(shot.studio, performer, tmp_path) for performer in ("ben", "anna")]
    renewed = shot.change(consents=fresh, keyring=ring)
    assert renewed.codes() == set()
    trust.revoke([shot.studio.consents[0]], ring=trust.KeyRing.load(ring),
                 key_file=shot.studio.root / "private" / "revoker.key.pem", passphrase=support.PASSPHRASE)  # fmt: skip
    with pytest.raises(ConsentError, match="VS-CON-004"):
        renewed.examine()
