"""Quarantine: what is found, what is not, and whose word counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vfxswap.face import mesh
from vfxswap.faceset import quarantine
from vfxswap.faceset.crops import Reason, Row

from . import made


def judge(rows: list[Row]) -> tuple[Row, ...]:
    return quarantine.judge(rows, size=made.SIZE, performer="ben")


def kinds(rows: tuple[Row, ...]) -> dict[str, list[str]]:
    return {row.crop.name: sorted(row.crop.kinds) for row in rows if row.crop.reasons}


def test_nothing_is_wrong_with_a_good_set() -> None:
    judged = judge(made.rows(30))
    assert kinds(judged) == {}
    assert all(row.crop.quarantined is None for row in judged)
    assert all({"identity_distance", "sharpness_of_set"} <= set(row.crop.figures) for row in judged)


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"figures": {"presence": 0.2}}, "unreadable", "presence 0.20, at least 0.5"),
        ({"confidence": 0.1}, "unreadable", "track confidence 0.10, at least 0.3"),
        ({"figures": {"guessed": 1.0}}, "unreadable", "interpolated over a gap"),
        ({"pose_deg": (0.0, -61.0, 0.0)}, "extreme", "yaw -61 degrees, at most 50"),
        ({"pose_deg": (41.0, 0.0, 0.0)}, "extreme", "pitch 41 degrees, at most 35"),
        ({"figures": {"inside": 0.8}}, "extreme", "80.0% of the face within the picture, at least 95.0%"),
        ({"figures": {"height": 30.0}}, "extreme", "30 rows high in the plate, at least 48"),
        ({"figures": {"enlarged": 6.0}}, "extreme", "6.0 times enlarged, at most 4.0"),
        ({"figures": {"clipped": 0.1}}, "extreme", "10.0% of the face clipped, at most 2.0%"),
        ({"figures": {"white": 0.4}}, "extreme", "40.0% of the face beyond the model's white"),
        ({"figures": {"unlit": 1.0}}, "extreme", "no light on the face"),
        ({"figures": {"sharpness": 1.0}}, "blur", "blurred: 50% of the set's sharpness, at least 72%"),
    ],
)
def test_each_reason_has_its_figure_and_its_limit(fields: dict[str, Any], kind: str, words: str) -> None:
    judged = judge([*made.rows(9), made.row("look-00.000099", seed=99, **fields)])
    assert kinds(judged) == {"look-00.000099": [kind]}
    assert words in (judged[-1].crop.quarantined or "")


def test_a_crop_keeps_all_its_reasons() -> None:
    bad = made.row("x.1", seed=99, person=1, figures={"sharpness": 0.5, "inside": 0.5, "white": 0.5})
    crop = judge([*made.rows(9), bad])[-1].crop
    assert [reason.kind for reason in crop.reasons] == ["extreme", "extreme", "identity", "blur"]
    assert crop.quarantined == "; ".join(reason.text for reason in crop.reasons)


# ----------------------------------------------------------------------------------------------- identity


@pytest.mark.parametrize("strangers", [1, 5, 20, 27])
def test_strangers_are_not_consistent_with_the_set(strangers: int) -> None:
    others = [made.row(f"other-01.{i:06d}", seed=500 + i, person=1) for i in range(strangers)]
    judged = judge([*others, *made.rows(30)])
    assert set(kinds(judged)) == {row.crop.name for row in others}
    assert "not consistent with ben: distance 0.9" in (judged[0].crop.quarantined or "")


def test_the_middle_stays_with_the_larger_group() -> None:
    own, other = (np.stack([row.embedding for row in made.rows(30, person=person)]) for person in (0, 1))
    alone = quarantine.centre(own)
    np.testing.assert_allclose(quarantine.centre(np.concatenate([other[:29], own])), alone)
    np.testing.assert_allclose(alone, own.mean(axis=0))


def test_unreadable_faces_have_no_say_in_who_it_is() -> None:
    blurs = [made.row(f"other-01.{i:06d}", seed=500 + i, person=1, confidence=0.1) for i in range(40)]
    judged = judge([*blurs, *made.rows(6)])
    assert set(kinds(judged)) == {row.crop.name for row in blurs}
    assert {tuple(found) for found in kinds(judged).values()} == {("unreadable",)}


def test_faces_turned_away_are_not_judged_by_identity() -> None:
    side = made.row("x.1", seed=99, person=1, pose_deg=(0.0, 60.0, 0.0))
    judged = judge([*made.rows(9), side])
    assert kinds(judged) == {"x.1": ["extreme"]}
    assert judged[-1].crop.figures["identity_distance"] > 0.8


def test_four_crops_are_no_set() -> None:
    judged = judge([*made.rows(3), made.row("x.1", seed=9, person=1, figures={"sharpness": 0.1})])
    assert kinds(judged) == {}


# --------------------------------------------------------------------------------------------------- blur


def test_the_sharper_part_is_the_measure() -> None:
    soft = [made.row(f"soft-01.{i:06d}", seed=500 + i, figures={"sharpness": 1.2}) for i in range(20)]
    judged = judge([*soft, *made.rows(10)])
    assert set(kinds(judged)) == {row.crop.name for row in soft}


def test_a_set_that_is_soft_all_over_is_as_it_is() -> None:
    assert kinds(judge(made.rows(10, figures={"sharpness": 0.6}))) == {}


# --------------------------------------------------------------------------------------------- duplicates


def again(row: Row, name: str, **fields: object) -> Row:
    """The same picture under another name."""
    return replace(row, crop=replace(row.crop, name=name, **fields))  # type: ignore[arg-type]


def test_of_the_same_picture_the_sharpest_stays() -> None:
    rows = made.rows(6)
    figures = {**rows[2].crop.figures, "sharpness": 2.1}
    judged = judge([*rows, again(rows[2], "z.1", figures=figures), again(rows[2], "z.2")])
    assert kinds(judged) == {"look-00.000003": ["duplicate"], "z.2": ["duplicate"]}
    assert "the same picture as z.1, which is the sharper one" in (judged[2].crop.quarantined or "")
    assert judged[2].crop.figures["same_landmarks"] == 0.0


@pytest.mark.parametrize("part", ["landmarks", "thumbnail", "embedding"])
def test_one_difference_is_enough_to_be_another_picture(part: str) -> None:
    rows = made.rows(6)
    other = made.row("z.1", seed=77)
    twin = again(rows[2], "z.1")
    if part == "landmarks":
        twin = again(rows[2], "z.1", landmarks=other.crop.landmarks)
    else:
        twin = replace(twin, **{part: getattr(other, part)})
    assert kinds(judge([*rows, twin])) == {}


def test_a_mouth_that_moves_makes_another_picture() -> None:
    rows = made.rows(6)
    points = rows[2].crop.landmarks.copy()
    points[list(mesh.LIPS_OUTER), 1] += 0.006 * made.SIZE
    assert kinds(judge([*rows, again(rows[2], "z.1", landmarks=points)])) == {}


def test_what_is_quarantined_anyway_displaces_nothing() -> None:
    rows = made.rows(6)
    sharper = again(rows[2], "z.1", figures={**rows[2].crop.figures, "sharpness": 3.0, "inside": 0.2})
    assert kinds(judge([*rows, sharper])) == {"z.1": ["extreme"]}


# ------------------------------------------------------------------------------------------- the artist


def test_kept_is_used_and_its_reasons_stay_on_record() -> None:
    judged = judge([*made.rows(6), made.row("x.1", seed=9, pose_deg=(0.0, 70.0, 0.0), verdict="keep")])
    assert judged[-1].crop.quarantined is None
    assert judged[-1].crop.kinds == {"extreme"}


def test_kept_is_kept_of_two_that_are_the_same() -> None:
    rows = made.rows(6)
    rows[2] = again(rows[2], rows[2].crop.name, verdict="keep")
    sharper = again(rows[2], "z.1", verdict=None, figures={**rows[2].crop.figures, "sharpness": 3.0})
    judged = judge([*rows, sharper])
    assert kinds(judged) == {"z.1": ["duplicate"]}
    assert "which was kept by hand" in (judged[-1].crop.quarantined or "")


def test_dropped_is_no_reason_to_leave_out_its_twin() -> None:
    rows = made.rows(6)
    sharper = again(rows[2], "z.1", verdict="drop", figures={**rows[2].crop.figures, "sharpness": 2.1})
    judged = judge([*rows, sharper])
    assert kinds(judged) == {}
    assert judged[-1].crop.quarantined == "dropped by hand"
    assert judged[2].crop.quarantined is None


def test_judging_again_says_the_same() -> None:
    rows = [*made.rows(9), made.row("x.1", seed=99, person=1), again(made.rows(1)[0], "z.1")]
    once = judge(rows)
    twice = judge(list(once))
    assert [(r.crop.reasons, r.crop.figures) for r in once] == [(r.crop.reasons, r.crop.figures) for r in twice]


def test_crops_of_version_1_keep_the_reason_they_have() -> None:
    old = replace(made.row("x.1", seed=9), crop=replace(made.row("x.1", seed=9).crop, figures={}))
    marked = replace(old, crop=replace(old.crop, name="x.2", reasons=(Reason("unreadable", "track confidence 0.1"),)))
    judged = judge([*made.rows(6), old, marked])
    assert kinds(judged) == {"x.2": ["unreadable"]}


def test_the_summary_counts_kinds() -> None:
    assert quarantine.summary([["blur"], ["blur", "identity"], []]) == {"blur": 2, "identity": 1}
