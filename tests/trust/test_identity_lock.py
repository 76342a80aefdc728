"""The identity lock: references that a consent names, facesets that are compared with them, and how well it works."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfxswap import faceset, infer, trust
from vfxswap.errors import ConsentError, UsageError
from vfxswap.face.identity import consistency
from vfxswap.faceset import quarantine
from vfxswap.faceset.lock import Lock, require_compared
from vfxswap.faceset.reference_file import measure_reference
from vfxswap.trust import CONSISTENT, references

from ..cli.facesets import files, vfxswap, write_plate
from ..faceset import made
from .conftest import Studio

NETWORK = infer.catalog()["identity"].sha256


def vectors(count: int = 6, *, at: int = 0, spread: float = 0.2) -> np.ndarray:
    """Embeddings of one person; people are 0.9 apart, as those of `made.rows`."""
    return np.array([row.embedding for row in made.rows(count, person=at, spread=spread)])


def written(path: Path, *, performer: str = "ben", at: int = 0, model: str = NETWORK) -> references.Reference:
    return references.write_reference(path, performer=performer, model_sha256=model, embeddings=vectors(at=at).tolist())


# ------------------------------------------------------------------------------------------- the reference file


def test_a_reference_file_comes_back_and_is_private(tmp_path: Path):
    path = tmp_path / "ben.reference.json"
    found = written(path)
    assert references.read_reference(path) == found
    np.testing.assert_allclose(found.content.embeddings, vectors(), atol=1e-6)
    assert found.named(0.5) == {"model_sha256": NETWORK, "file_sha256": found.sha256, "threshold": 0.5}
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="already"):
        written(path)


def test_few_faces_are_no_reference(tmp_path: Path):
    with pytest.raises(UsageError, match="4 faces of ben can be compared with, at least 5"):
        references.write_reference(
            tmp_path / "x.json", performer="ben", model_sha256=NETWORK, embeddings=vectors(4).tolist()
        )
    assert not list(tmp_path.iterdir())


def with_reference(studio: Studio, found: references.Reference, *, threshold: float = CONSISTENT) -> Path:
    return studio.consent("ben", reference_embeddings=found.named(threshold))


def granted(studio: Studio, consent: Path) -> trust.Grant:
    return studio.gate(consent).authorize_faceset(performer="ben", shot=studio.shot)


def refused(text: str) -> Any:
    return pytest.raises(ConsentError, match=f"VS-CON-015 .*{text}")


def test_the_file_must_be_the_one_that_the_consent_names(studio: Studio, tmp_path: Path):
    found = written(tmp_path / "ben.json")
    grant = granted(studio, with_reference(studio, found))
    lock = Lock.of(grant, found.path)
    assert lock is not None and (lock.performer, lock.threshold) == ("ben", CONSISTENT)
    with refused("names a reference file; give it: --reference"):
        Lock.of(grant, None)
    other = written(tmp_path / "other.json", at=1)
    with refused(f"sha256 {other.sha256}, the consent of ben names {found.sha256}"):
        Lock.of(grant, other.path)
    with pytest.raises(ConsentError, match="VS-CON-001"):
        Lock.of(grant, tmp_path / "nothing.json")
    anna = written(tmp_path / "anna.json", performer="anna")
    with refused("the reference file is of anna"):
        Lock.of(granted(studio, with_reference(studio, anna)), anna.path)
    old = written(tmp_path / "old.json", model="ab" * 32)
    with refused("made by another network"):
        Lock.of(granted(studio, with_reference(studio, old)), old.path)


def test_without_a_reference_in_the_consent_nothing_is_compared(studio: Studio, tmp_path: Path):
    grant = granted(studio, studio.consent("ben"))
    assert Lock.of(grant, None) is None
    with refused("names no reference file"):
        Lock.of(grant, written(tmp_path / "ben.json").path)


@pytest.mark.parametrize("threshold", [0.0, 0.61, -1.0])
def test_a_threshold_that_says_nothing_is_not_signed(studio: Studio, tmp_path: Path, threshold: float):
    with pytest.raises(ConsentError, match="VS-CON-012"):
        with_reference(studio, written(tmp_path / "ben.json"), threshold=threshold)


# ----------------------------------------------------------------------------------------------- comparing


def test_consistency():
    own, other = consistency(vectors(20, spread=0.3), vectors()), consistency(vectors(20, at=1), vectors())
    assert own.ok and not other.ok
    assert own.outliers == () and len(other.outliers) == 20
    assert other.median > 0.8
    assert "not consistent with the references of ben" in other.words("ben")
    assert own.words("ben").startswith("consistent with")
    nothing = consistency(np.zeros((0, 128)), vectors())
    assert not nothing.ok and nothing.outliers == ()
    with pytest.raises(ValueError, match="no reference"):
        consistency(vectors(), np.zeros((0, 128)))
    at = consistency(vectors(1), vectors(1), threshold=1e-9)
    assert at.ok and not consistency(vectors(1), vectors(1), threshold=0.0).ok


def judged(lock: Lock, rows: list[Any]) -> tuple[Any, ...]:
    return quarantine.judge(lock.compared(rows), size=made.SIZE, performer="ben")


LOCK = Lock("ben", vectors(), CONSISTENT)


def test_strangers_among_many_are_quarantined_with_the_figure():
    rows = judged(LOCK, [*made.rows(30), *made.rows(3, first=31, person=1)])
    LOCK.check(rows)
    out = [row.crop for row in rows if "identity" in row.crop.kinds]
    assert [crop.frame for crop in out] == [31, 32, 33]
    assert "not consistent with the consent's references" in str(out[0].quarantined)
    assert out[0].figures["reference_distance"] > 0.8 and out[0].figures["reference_threshold"] == CONSISTENT


def test_when_only_the_references_tell_them_apart():
    """Where most of a set is somebody else, the set's own middle is theirs; the references are not."""
    rows = judged(LOCK, [*made.rows(6), *made.rows(30, first=7, person=1)])
    kept = [row.crop.frame for row in rows if not any("references" in r.text for r in row.crop.reasons)]
    assert kept == list(range(1, 7))
    with refused("not consistent with the references of ben: median distance 0.9"):
        LOCK.check(rows)


def test_every_plate_is_looked_at():
    """A small plate of a stranger among many of the performer's own is no outlier: it is the wrong plate."""
    own = made.rows(60)
    wrong = [made.row(f"other-01.{i:06d}", seed=100 + i, person=1, plate="plates/other.%04d.exr") for i in range(5)]
    with refused("plates/other"):
        LOCK.check(judged(LOCK, [*own, *wrong]))
    LOCK.check(judged(LOCK, [*own, *wrong[:4]]))  # of few faces nothing is said but of each


def test_faces_that_cannot_be_judged_are_not_compared():
    turned = made.rows(10, person=1, pose_deg=(0.0, 60.0, 0.0))
    rows = judged(LOCK, [*made.rows(10, first=11), *turned])
    LOCK.check(rows)
    assert all("references" not in reason.text for row in rows for reason in row.crop.reasons)
    with refused("no face could be compared"):
        LOCK.check(judged(LOCK, turned))


def test_an_edit_keeps_what_was_compared(tmp_path: Path):
    rows = judged(LOCK, [*made.rows(12), *made.rows(2, first=13, person=1)])
    made.write(tmp_path / "set", list(rows))
    edited = faceset.edit(tmp_path / "set", drop=["look-00.000001"])
    assert [crop.frame for crop in edited.crops if "identity" in crop.kinds] == [13, 14]
    assert any("references" in reason.text for reason in edited.crops[12].reasons)


def test_training_wants_a_faceset_that_was_compared(studio: Studio, tmp_path: Path):
    found = written(tmp_path / "ben.json")
    grant = granted(studio, with_reference(studio, found))
    before = made.write(tmp_path / "before", made.rows(6))
    with refused("was not compared with the references of ben"):
        require_compared(before, grant.consents)
    consents = [ref.entry() for ref in grant.consents]
    assert consents[0]["reference_sha256"] == found.sha256
    index = json.loads((tmp_path / "before" / faceset.INDEX).read_text())
    (tmp_path / "before" / faceset.INDEX).write_text(json.dumps({**index, "consents": consents}))
    require_compared(faceset.load(tmp_path / "before"), grant.consents)
    require_compared(before, granted(studio, studio.consent("ben")).consents)  # which names none


# ---------------------------------------------------------------------------------------------- as installed


@pytest.fixture
def office(studio: Studio) -> Studio:
    """The studio, now."""
    from datetime import UTC, datetime

    studio.now = datetime.now(UTC).replace(microsecond=0)
    studio.revoke()
    return studio


def options(studio: Studio, consent: Path) -> list[object]:
    return ["--consent", consent, "--keyring", studio.ring_folder, "--shot", studio.shot, "--performer", "ben",
            "--device", "cpu", "--size", 64, "--no-sheet"]  # fmt: skip


def test_from_pictures_to_a_consent_to_a_faceset(office: Studio, tmp_path: Path):
    plate, file, record = write_plate(tmp_path / "look", frames=7), tmp_path / "ben.reference.json", tmp_path / "c.json"
    done = vfxswap("consent", "reference", plate, "--performer", "ben", "--output", file, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    sha256 = references.read_reference(file).sha256
    assert f"7 faces of ben, sha256 {sha256}" in done.stdout
    done = vfxswap("consent", "new", "--performer", "ben", "--role", "likeness", "--use", "train",
                   "--purpose", "x", "--scope", "show1/*/*", "--until", "2090-01-01", "--reference", file,
                   "--output", record)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"reference file sha256 {sha256}, distance below 0.5" in vfxswap("consent", "show", record).stdout
    for kid in ("perf-ben", "prod"):
        trust.sign(record, key_file=office.private(kid), passphrase=office.passphrase)
    folder = tmp_path / "set"
    built = vfxswap("faceset", "build", plate, "--output", folder, *options(office, record))
    assert (built.returncode, folder.exists()) == (77, False)
    assert "VS-CON-015" in built.stderr and "--reference FILE" in built.stderr
    built = vfxswap("faceset", "build", plate, "--output", folder, "--reference", file, *options(office, record))
    assert built.returncode == 0, built.stderr
    assert all(crop.figures["reference_distance"] < 0.4 for crop in faceset.load(folder).crops)


def test_another_persons_plate_leaves_nothing(office: Studio, tmp_path: Path):
    """The references are of nobody; whoever the plate shows is somebody else."""
    plate, file = write_plate(tmp_path / "look", frames=6), tmp_path / "ben.reference.json"
    consent = with_reference(office, written(file))
    for text in (plate, f"{plate},stills"):
        done = vfxswap(
            "faceset", "build", text, "--output", tmp_path / "set", "--reference", file, *options(office, consent)
        )
        assert done.returncode == 77
        assert "VS-CON-015 the faces of" in done.stderr and "not consistent with the references of ben" in done.stderr
        assert not (tmp_path / "set").exists()


def test_a_faceset_that_was_there_stays_as_it_was(office: Studio, tmp_path: Path):
    plate, folder = write_plate(tmp_path / "look", frames=6), tmp_path / "set"
    file = tmp_path / "ben.reference.json"
    measure_reference(file, [plate], performer="ben", device="cpu")
    consent = with_reference(office, references.read_reference(file))
    given = ("--output", folder, "--reference", file, *options(office, consent))
    assert vfxswap("faceset", "build", plate, *given).returncode == 0
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    strict = tmp_path / "nobody.reference.json"
    narrow = with_reference(office, written(strict))
    refusing = ("--output", folder, "--append", "--reference", strict, *options(office, narrow))
    other = write_plate(tmp_path / "other", frames=5, tint=(0.8, 1.0, 1.1))
    done = vfxswap("faceset", "build", other, *refusing)
    assert done.returncode == 77, done.stderr
    assert {name: (folder / name).read_bytes() for name in files(folder)} == before


# ------------------------------------------------------------------------------------------------ calibration


def test_the_rendered_performers_are_told_apart(shared: Path, office: Studio, tmp_path: Path):
    """Ben's references, ben's and anna's stills: what docs/consent.md says of 400, on a few."""
    train = shared / "data" / "train"
    file = tmp_path / "ben.reference.json"
    measure_reference(file, [f"{train / 'ben' / 'ben.####.exr'},frames=1001-1012"], performer="ben", device="cpu")
    consent = with_reference(office, references.read_reference(file))
    given = ("--reference", file, *options(office, consent))
    own = vfxswap("faceset", "build", f"{train / 'ben' / 'ben.####.exr'},stills,frames=1051-1060", "--output",
                  tmp_path / "own", *given)  # fmt: skip
    assert own.returncode == 0, own.stderr
    other = vfxswap("faceset", "build", f"{train / 'anna' / 'anna.####.exr'},stills,frames=1051-1060", "--output",
                    tmp_path / "other", *given)  # fmt: skip
    assert other.returncode == 77 and not (tmp_path / "other").exists()
    far = [crop.figures["reference_distance"] for crop in faceset.load(tmp_path / "own").crops
           if abs(crop.pose_deg[1]) < 50]  # fmt: skip
    assert np.median(far) < 0.4
