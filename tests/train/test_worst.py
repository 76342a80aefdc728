"""Which frames came out worst, out of whatever report says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vfxswap.bench.quality.records import FrameScore, Mean, PictureScore, QualityReport, ShotScore
from vfxswap.errors import UsageError
from vfxswap.qc import records
from vfxswap.train.worst import SCHEMA, WorstFrame, read_worst

REPORT = Path("report.json")


def read(report: dict[str, Any], *, shot: str = "") -> tuple[WorstFrame, ...]:
    return read_worst(json.dumps(report).encode(), path=REPORT, shot=shot)


def quality(**shots: dict[int, float | None]) -> dict[str, Any]:
    """A report as `bench quality` writes it: PSNR of the swap by frame."""
    none = Mean(frames=0, rows={})
    found = QualityReport(
        max_yaw_deg=40,
        identity="x",
        flip="x",
        overall=none,
        shots=tuple(
            ShotScore(
                name=name,
                mean=none,
                frames=tuple(
                    FrameScore(
                        frame=frame,
                        counted=frame != 1099,
                        pixels=9,
                        occluded=0.0,
                        rows={"swap": PictureScore(psnr_db=value), "nothing": PictureScore(psnr_db=1.0)},
                    )
                    for frame, value in frames.items()
                ),
            )
            for name, frames in shots.items()
        ),
    )
    whole: dict[str, Any] = json.loads(found.to_json())
    return whole


def test_a_list_is_ranked_by_its_scores() -> None:
    frames = [{"frame": 7}, {"frame": 3, "score": 2.5, "reason": "the lids flicker"}, {"frame": 5}, {"frame": 3}]
    found = read({"schema": SCHEMA, "frames": frames})
    assert [one.frame for one in found] == [3, 7, 5]
    assert found[0] == WorstFrame(3, "the lids flicker", 2.5)


def test_of_quality_the_lowest_psnr_that_counts_comes_first() -> None:
    report = quality(talk={1001: 24.0, 1002: 18.5, 1003: None, 1099: 3.0})
    assert [(one.frame, one.reason) for one in read(report)] == [(1002, "18.5 dB"), (1001, "24.0 dB")]


def test_of_a_qc_report_the_frames_with_alarms_are_taken() -> None:
    listed = [
        records.WorstEntry(frame=frame, score=score, reason=reason, reasons=(reason,), shot="talk")
        for frame, score, reason in ((1007, 3.5, "gaze"), (1004, 1.2, "lids"))
    ]
    report = {"schema": records.SCHEMA, "worst": [entry.model_dump(mode="json") for entry in listed], "frames": []}
    assert "worst" in records.QcReport.model_fields
    assert read(report) == (WorstFrame(1007, "gaze", 3.5, "talk"), WorstFrame(1004, "lids", 1.2, "talk"))
    with pytest.raises(UsageError, match=r"no frame came out badly in report\.json"):
        read(report | {"worst": []})


def test_of_several_shots_one_has_to_be_chosen() -> None:
    report = quality(talk={1001: 24.0}, walk={1001: 20.0, 1002: 19.0})
    assert [one.frame for one in read(report, shot="walk")] == [1002, 1001]
    with pytest.raises(UsageError, match="has frames of 2 shots; choose by --of: talk, walk"):
        read(report)
    with pytest.raises(UsageError, match="has no frames of 'run'; it has talk, walk"):
        read(report, shot="run")


def test_of_coverage_the_frames_without_a_near_example_are_taken() -> None:
    samples = [{"name": str(f), "plate": "/shots/a.%04d.exr", "frame": f, "pose_deg": [0, 0, 0]} for f in (1, 2, 3)]
    frames = [
        {"name": "2", "distance_deg": 31.9, "missing": ["turned 42 degrees"]},
        {"name": "3", "distance_deg": 14.0, "missing": ["gaze", "lids"]},
        {"name": "1", "distance_deg": 2.0, "missing": []},
    ]
    report = {"schema": "vfxswap.coverage/1", "double": {"samples": samples}, "frames": frames}
    found = read(report, shot="a.%04d.exr")
    assert [(one.frame, one.reason) for one in found] == [(2, "turned 42 degrees"), (3, "gaze; lids")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "is no report of frames: Invalid JSON"),
        (b"[1]", "is no report of frames"),
        (b'{"schema": "vfxswap.track/1"}', "is no report of frames"),
        (b'{"schema": "vfxswap.worst/1", "frames": [{"frame": "x"}]}', r"frames\.0\.frame"),
        (b'{"schema": "vfxswap.worst/1", "frames": [{"frame": 1, "score": NaN}]}', "is no report of frames"),
        (b'{"schema": "vfxswap.worst/1", "frames": []}', "no frame came out badly in report.json"),
    ],
)
def test_what_is_no_report_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_worst(text, path=REPORT)
