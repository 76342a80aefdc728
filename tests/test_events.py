"""Events as NDJSON and the token that stops the work."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path

import pytest

from vfxswap import events
from vfxswap.errors import Cancelled, PlateError
from vfxswap.events import CancelToken, Event, NdjsonSink, NullSink, RecordingSink, cancel_file

EXAMPLES: list[tuple[Event, dict[str, object]]] = [
    (events.Started(job="swap", frames="1001-1048"), {"event": "started", "job": "swap", "frames": "1001-1048"}),
    (
        events.Progress(stage="swap", done=1, total=48, frame=1001),
        {"event": "progress", "stage": "swap", "done": 1, "total": 48, "frame": 1001},
    ),
    (
        events.FrameDone(frame=1001, path="o.1001.exr", status="rendered"),
        {"event": "frame_done", "frame": 1001, "path": "o.1001.exr", "status": "rendered"},
    ),
    (
        events.Scored(step=50, rate=2.5, left=60.0, losses={"mask": 0.1}, scores={"mask_iou": 0.9}),
        {
            "event": "scored",
            "step": 50,
            "rate": 2.5,
            "left": 60.0,
            "losses": {"mask": 0.1},
            "scores": {"mask_iou": 0.9},
        },
    ),
    (events.Warned(code="no_face", message="no face"), {"event": "warning", "code": "no_face", "message": "no face"}),
    (
        events.Warned(code="no_face", message="no face", frame=-3),
        {"event": "warning", "code": "no_face", "message": "no face", "frame": -3},
    ),
    (
        events.FrameFailed(frame=2, code="frame", message="truncated", hint="copy it again"),
        {"event": "frame_failed", "frame": 2, "code": "frame", "message": "truncated", "hint": "copy it again"},
    ),
    (
        events.Done(manifest="m.json", counts={"rendered": 2}),
        {"event": "done", "manifest": "m.json", "counts": {"rendered": 2}},
    ),
    (
        events.Failed(code="plate", message="no such file", hint="check"),
        {"event": "error", "code": "plate", "message": "no such file", "hint": "check"},
    ),
]


@pytest.mark.parametrize(("event", "fields"), EXAMPLES, ids=lambda value: getattr(value, "event", ""))
def test_each_event_is_one_line_of_the_contract(event: Event, fields: dict[str, object]) -> None:
    stream = io.StringIO()
    NdjsonSink(stream).emit(event)
    line = stream.getvalue()
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    record = json.loads(line)
    assert record.pop("v") == 1
    assert record.pop("t") >= 0
    assert record == fields


def test_every_event_has_an_example() -> None:
    told = {kind for kind in Event.__subclasses__() if kind.__module__ == Event.__module__}
    assert {type(event) for event, _ in EXAMPLES} == told


def test_seconds_count_from_the_given_start() -> None:
    stream = io.StringIO()
    NdjsonSink(stream, started=0.0).emit(events.Started(job="x", frames=""))
    assert json.loads(stream.getvalue())["t"] > 0.1


def test_lines_of_many_threads_do_not_mix() -> None:
    stream = io.StringIO()
    sink = NdjsonSink(stream)

    def work(number: int) -> None:
        for done in range(200):
            sink.emit(events.Progress(stage=f"stage {number}", done=done, total=200))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 800
    times = [line["t"] for line in lines]
    assert times == sorted(times)


def test_each_line_can_be_read_at_once() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading) as reader:
        NdjsonSink(stream).emit(events.Started(job="x", frames="1"))
        assert json.loads(reader.readline())["event"] == "started"


def test_work_that_nobody_reads_is_cancelled() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    with pytest.raises(Cancelled, match="reader"):
        NdjsonSink(stream).emit(events.Started(job="x", frames="1"))
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_an_error_becomes_an_event_with_its_hint_apart() -> None:
    error = PlateError("truncated", hint="copy  it\nagain", path="a.exr", frame=7)
    event = events.Failed.of(error)
    assert event.code == "plate"
    assert event.message == "truncated (frame 7, a.exr)"
    assert event.hint == "copy  it\nagain"


def test_other_sinks() -> None:
    event = events.Started(job="x", frames="")
    NullSink().emit(event)
    recorder = RecordingSink()
    recorder.emit(event)
    assert recorder.events == [event]


def test_a_token_stops_work_once_it_is_asked() -> None:
    token = CancelToken()
    token.check()
    assert not token.cancelled
    token.cancel()
    assert token.cancelled
    with pytest.raises(Cancelled) as caught:
        token.check()
    assert caught.value.exit_code == 75


def test_a_token_stops_work_when_its_file_appears(tmp_path: Path) -> None:
    file = cancel_file(tmp_path / "job.json")
    assert file.name == "job.json.cancel"
    token = CancelToken(file)
    token.check()
    file.touch()
    with pytest.raises(Cancelled):
        token.check()
    file.unlink()
    assert token.cancelled  # asked once is asked
