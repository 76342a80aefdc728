"""The coverage report as one HTML file: nothing in it is fetched from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from vfxswap import __version__, atomic
from vfxswap.coverage import svg, words
from vfxswap.coverage.metric import PARTS
from vfxswap.coverage.report import Coverage, Need, Run
from vfxswap.coverage.samples import Sample, Side
from vfxswap.errors import FrameError, OutputError
from vfxswap.face.landmarks import BLENDSHAPES
from vfxswap.pixels import F64

_TURNS = (list(range(-60, 61, 10)), list(range(-40, 41, 10)))
"""Edges in degrees of yaw and pitch."""
_USED = 0.2
"""Blendshapes that neither side brings above this are only named."""
_THUMB_QUALITY = 88

MOST = 24
"""So many gaps are listed with pictures."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #222; background: #fff; margin: 2em auto; max-width: 62em;
  padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0; } h2 { font-size: 1.15em; margin: 2em 0 .3em; }
p { max-width: 48em; } .sum { font-size: 1.1em; } .quiet { color: #666; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .5em .6em; }
tr + tr td { border-top: 1px solid #ddd; } .far { font-weight: 600; white-space: nowrap; } td.far { color: #a4262c; }
td.face { padding-right: 0; font-size: .8em; color: #555; width: 112px; }
img { display: block; } ul { margin: 0 0 .5em; padding-left: 1.2em; }
svg { vertical-align: top; margin: 0 1em 1em 0; max-width: 100%; height: auto; }
.key::before { content: ""; display: inline-block; width: 1em; height: .7em; margin-right: .4em; }
.key.likeness::before { background: #9db7d2; } .key.double::before { border: 2px solid #c8702a; height: .4em; }
td.face { overflow-wrap: anywhere; }
/* Too narrow for a row of four faces: the double's face and what is missing, and the nearest ones below. */
@media (max-width: 48em) {
  table, tbody { display: block; } tr:first-child { display: none; }
  tr { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); border-top: 1px solid #ddd; }
  tr + tr td { border-top: 0; } td.face { width: auto; }
  td:nth-child(2) { grid-column: span 2; } td.far { grid-column: span 3; padding-bottom: 0; }
  td.far::after { content: " to the nearest in the likeness:"; font-weight: 400; white-space: normal; }
  img { max-width: 100%; height: auto; }
}
/* Plots turn light into dark and keep their hues; pictures stay as they are. */
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818; } .quiet { color: #a0a0a0; } td.face { color: #b0b0b0; }
  td.far { color: #ff8f88; } tr + tr td, tr { border-color: #3a3a3a; } svg { filter: invert(.9) hue-rotate(180deg); }
}
"""


def write_html(
    found: Coverage, path: Path, *, most: int = MOST, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> None:
    """Write a comparison as a self-contained page; atomic.

    Args:
        found: the comparison.
        path: the file.
        most: how many gaps are listed with pictures; every frame is in the JSON.
        progress: called with (gaps drawn, gaps in all).

    Raises:
        OutputError, ResourceError: it cannot be written.
    """
    likeness, double = _name(found.likeness, "the likeness"), _name(found.double, "the double")
    title = f"Coverage: {likeness} for {double}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(found.likeness.source)} for {escape(found.double.source)}</p>',
        *_summary(found),
        "<h2>Frames without a near example</h2>",
        *_gaps(found, most, progress),
        "<h2>Along the plates</h2>",
        *_strips(found),
        "<h2>Turn of the head</h2>",
        *_turn_maps(found),
        "<h2>Expression, gaze, light, sharpness</h2>",
        _KEY,
        *_histograms(found),
        *_notes(found),
    ]
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )
    atomic.write_text(path, text)


_KEY = '<p><span class="key likeness">likeness</span> &nbsp; <span class="key double">double</span></p>'


def _name(side: Side, otherwise: str) -> str:
    return side.performer or otherwise


def _summary(found: Coverage) -> Iterator[str]:
    total, gaps = len(found.needs), len(found.gaps)
    yield (
        f'<p class="sum">{total - gaps} of {total} frames of the double ({found.covered:.0%}) have an example of the '
        f"likeness within {found.near:g} degrees; {gaps} have none.{_unjudged(found)}</p>"
    )
    yield (
        "<p>A degree here is a turn of the head by one degree, or whatever in expression or gaze changes the picture "
        "as much. "
        + (
            "Mirrored crops count as examples, since training flips crops. "
            if found.mirror
            else "Mirrored crops do not count as examples. "
        )
        + "Light, what is in front of the face, and the model itself are not judged.</p>"
    )


def _unjudged(found: Coverage) -> str:
    count = len(found.double.left_out)
    return f" {count} could not be judged (see the notes)." if count else ""


# ------------------------------------------------------------------------------------------------------ gaps


def _gaps(found: Coverage, most: int, progress: Callable[[int, int], None]) -> Iterator[str]:
    runs = found.runs
    if not runs:
        yield "<p>None.</p>"
        return
    yield "<table><tr><th>double</th><th>what is missing</th><th class=far>distance</th>"
    yield "<th colspan=3>nearest in the likeness</th></tr>"
    for done, run in enumerate(runs[:most], start=1):
        yield _row(found, run)
        progress(done, min(most, len(runs)))
    yield "</table>"
    if len(runs) > most:
        yield f'<p class="quiet">and {len(runs) - most} more, each nearer than these.</p>'


def _row(found: Coverage, run: Run) -> str:
    need = run.worst
    missing = "".join(f"<li>{escape(text)}</li>" for text in need.missing)
    nearest = "".join(
        _face(found.likeness, match.sample, f"{match.degrees:.0f}°", mirrored=match.mirrored) for match in need.nearest
    )
    shown = _face(found.double, need.sample, f"{Path(need.sample.plate).name} {run.span}")
    described = escape(words.described(need.sample.look))
    return (
        f"<tr>{shown}<td><ul>{missing}</ul><p class=quiet>{described}</p></td>"
        f"<td class=far>{need.degrees:.0f}°</td>{nearest}</tr>"
    )


def _face(side: Side, sample: Sample, caption: str, *, mirrored: bool = False) -> str:
    name, below = escape(sample.name), escape(caption + (", mirrored" if mirrored else ""))
    picture = _picture(side, sample, mirrored=mirrored)
    image = f'<img width="112" height="112" alt="{name}" title="{name}" src="{picture}">'
    return f'<td class=face width="112">{image}{below}</td>'


def _picture(side: Side, sample: Sample, *, mirrored: bool) -> str:
    """A face as a data URI; grey where its frame can no longer be read."""
    try:
        rgb = np.asarray(side.picture(sample), np.float32)
    except FrameError:
        rgb = np.full((16, 16, 3), 0.5, np.float32)
    codes = np.clip(rgb[:, :: -1 if mirrored else 1, ::-1] * 255 + 0.5, 0, 255).astype(np.uint8)
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(codes), [cv2.IMWRITE_JPEG_QUALITY, _THUMB_QUALITY])
    if not done:
        raise OutputError(f"the picture of {sample.name} could not be encoded")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


# ----------------------------------------------------------------------------------------------------- plots


def _strips(found: Coverage) -> Iterator[str]:
    plates: dict[str, list[Need]] = {}
    for need in found.needs:
        plates.setdefault(need.sample.plate, []).append(need)
    for plate, needs in plates.items():
        frames = [need.sample.frame for need in needs]
        title = f"{Path(plate).name}: distance of the nearest example"
        yield svg.strip(frames, [need.degrees for need in needs], near=found.near, title=title)


def _turn_maps(found: Coverage) -> Iterator[str]:
    across, down = _TURNS
    labels = ("camera left", "camera right", "up", "down")
    for side, color, title in (
        (found.likeness, svg.LIKENESS, "likeness: crops"),
        (found.double, svg.DOUBLE, "double: frames"),
    ):
        counts = _turn_table([(sample, 1.0) for sample in side.samples])
        yield svg.heat_map(counts, across=across, down=down, color=color, title=title, labels=labels)
    yield svg.heat_map(
        _turn_table([(need.sample, 1.0) for need in found.gaps]),
        across=across,
        down=down,
        color=svg.GAP,
        title="double: frames without a near example",
        labels=labels,
        most=max(1.0, float(_turn_table([(sample, 1.0) for sample in found.double.samples]).max())),
    )


def _turn_table(samples: Sequence[tuple[Sample, float]]) -> F64:
    """(pitch, yaw) sums; what lies outside counts at the border. Looking up is the first row."""
    across, down = _TURNS
    table = np.zeros((len(down) - 1, len(across) - 1))
    for sample, weight in samples:
        pitch, yaw, _ = sample.look.pose_deg
        row = int(np.clip(np.searchsorted(down, pitch, side="right") - 1, 0, len(down) - 2))
        column = int(np.clip(np.searchsorted(across, yaw, side="right") - 1, 0, len(across) - 2))
        table[row, column] += weight
    return table


def _histograms(found: Coverage) -> Iterator[str]:
    here, there = found.likeness.samples, found.double.samples

    def values(get: Callable[[Sample], float]) -> tuple[list[float], list[float]]:
        return [get(sample) for sample in here], [get(sample) for sample in there]

    quiet = []
    for i, name in enumerate(BLENDSHAPES[1:], start=1):
        ours, theirs = values(lambda sample, i=i: float(sample.look.expression[i]))  # type: ignore[misc]
        if max(*ours, *theirs) < _USED:
            quiet.append(name)
            continue
        yield svg.histograms(ours, theirs, low=0, high=1, bins=10, title=name, ticks=(0, 0.5, 1))
    if quiet:
        yield f'<p class="quiet">Below {_USED:g} on both sides: {", ".join(quiet)}.</p>'
    unseen = float("nan")
    for axis, title in enumerate(("gaze, degrees to camera right", "gaze, degrees up")):
        ours, theirs = values(lambda s, axis=axis: s.look.gaze_deg[axis] if s.look.gaze_known else unseen)  # type: ignore[misc]
        yield svg.histograms(ours, theirs, low=-40, high=40, bins=16, title=title, ticks=(-40, -20, 0, 20, 40))
    ours, theirs = values(lambda sample: sample.stops)
    yield svg.histograms(
        ours, theirs, low=-6, high=6, bins=24, title="skin, stops above 0.18", ticks=(-6, -4, -2, 0, 2, 4, 6)
    )
    ours, theirs = values(lambda sample: sample.sharpness)
    yield svg.histograms(
        ours, theirs, low=0, high=2, bins=20, title="sharpness at 160 pixels", ticks=(0, 0.5, 1, 1.5, 2)
    )
    ours, theirs = values(lambda sample: sample.height)
    if np.isfinite([*ours, *theirs]).any():
        top = float(np.ceil(np.nanmax([*ours, *theirs]) / 100) * 100)
        yield svg.histograms(
            ours, theirs, low=0, high=top, bins=20, title="height of the face, plate rows", ticks=(0, top / 2, top)
        )


def _notes(found: Coverage) -> Iterator[str]:
    yield "<h2>Notes</h2>"
    parts = ", ".join(PARTS)
    yield f'<p class="quiet">Parts of the face that are compared: {parts}. Left and right are the camera\'s.</p>'
    for side, name in ((found.likeness, "likeness"), (found.double, "double")):
        if side.left_out:
            listed = ", ".join(f"{key} ({why})" for key, why in list(side.left_out.items())[:20])
            more = f" and {len(side.left_out) - 20} more" if len(side.left_out) > 20 else ""
            yield f'<p class="quiet">Not judged in the {name}: {escape(listed)}{more}.</p>'
        if side.consents:
            ids = ", ".join(consent.get("id", "") for consent in side.consents)
            yield f'<p class="quiet">The {name}\'s faceset was built under {escape(ids)}.</p>'
    yield f'<p class="quiet">vfxswap {__version__}</p>'
