"""The identity lock at publish: finished faces are compared with the references that the likeness's consent names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vfxswap import infer
from vfxswap.errors import ConsentError
from vfxswap.faceset.reference_file import measure_reference
from vfxswap.trust import CONSISTENT, references
from vfxswap.trust.references import Reference

from .. import support
from ..support import Studio
from .conftest import Shot, consent, rendered


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory, production: Studio, face_plate: str) -> Shot:
    """Rendered with a model that paints what it sees: the finished face is the plate's."""
    model = production.model("plain", support.network(support.PASS_THROUGH))
    return rendered(tmp_path_factory.mktemp("alike"), production, face_plate, model=model)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """References of whom the plate shows."""
    folder = tmp_path_factory.mktemp("own")
    plate = support.write_plate(folder / "look", frames=6)
    return measure_reference(folder / "ben.reference.json", [plate], performer="ben", device="cpu")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """References of nobody: vectors of a length as real ones have."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(6, 128))
    path = tmp_path_factory.mktemp("stranger") / "ben.reference.json"
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) * 1.4
    return references.write_reference(path, performer="ben", model_sha256=infer.catalog()["identity"].sha256,
                                      embeddings=rows.tolist())  # fmt: skip


def locked(shot: Shot, root: Path, reference: Reference, *, threshold: float = CONSISTENT) -> Shot:
    """Consents of which that of the likeness names references."""
    named = consent(shot.studio, "ben", root, reference_embeddings=reference.named(threshold))
    return shot.elsewhere(root).change(consents=(named, shot.studio.consents[1]))


def test_faces_that_are_consistent_are_published(alike: Shot, own: Reference, tmp_path: Path) -> None:
    report = locked(alike, tmp_path, own).examine(references=(own.path,))
    assert report.ok and report.findings == ()
    (identity,) = report.facts["identity"]
    assert identity["faces"] == 4 and identity["median"] < CONSISTENT / 2
    assert identity["words"].startswith("consistent with the references of ben")


def test_faces_that_are_not_stop_it(alike: Shot, stranger: Reference, tmp_path: Path) -> None:
    report = locked(alike, tmp_path, stranger).examine(references=(stranger.path,))
    (finding,) = report.findings
    assert finding.code == "VS-MOD-002" and finding.stops
    assert "not consistent with the references of ben" in finding.message
    assert report.facts["identity"][0]["median"] > CONSISTENT


@pytest.mark.parametrize("layers", ["patch", "ingredients"])
def test_whatever_is_written(layers: str, alike: Shot, own: Reference, face_plate: str, tmp_path: Path) -> None:
    """A patch is laid over the plate before it is looked at."""
    shot = rendered(tmp_path / "r", alike.studio, face_plate, model=alike.job.model, layers=layers)
    found = locked(shot, tmp_path, own).examine(references=(own.path,)).facts["identity"]
    assert found[0]["median"] < CONSISTENT / 2


def test_without_the_file_nothing_is_published(
    alike: Shot, own: Reference, stranger: Reference, tmp_path: Path
) -> None:
    shot = locked(alike, tmp_path, own)
    for given, words in (((), "names a reference file"), ((stranger.path,), "the reference file has sha256")):
        with pytest.raises(ConsentError, match=f"VS-CON-015.*{words}"):
            shot.examine(references=given)
    with pytest.raises(ConsentError, match="VS-CON-015 no consent names this reference file"):
        alike.examine(references=(own.path,))


def test_where_no_track_says_where_the_face_is_nothing_is_taken_for_consistent(
    alike: Shot, own: Reference, tmp_path: Path
) -> None:
    shot = locked(alike, tmp_path, own)
    for track in (shot.output / ".vfxswap" / "out").glob("*.vfxtrack"):
        track.unlink()
    report = shot.examine(references=(own.path,))
    assert {finding.code for finding in report.findings if finding.stops} == {"VS-MOD-002"}
    assert "no face could be compared" in str(report.findings)
