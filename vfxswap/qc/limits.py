"""What is measured, beyond which value a person should look, and how a frame's measures become one score.

The limits come from shots with ground truth: a perfect swap stays within all of them, and each kind of defect that
was put into it goes beyond one (docs/qc.md has the figures).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Measure:
    """One number of a frame.

    Attributes:
        name: in the report.
        label: in words, for plots.
        unit: of the number, and of its limits.
        says: what is wrong with a frame that is beyond a limit; `{0}` is the number.
        most: no frame should have more; None for no such limit.
        least: no frame should have less; None for no such limit.
        about: what the number is.
        low: what is wrong with a frame that has less than `least`, where that is something else.
    """

    name: str
    label: str
    unit: str
    says: str
    about: str
    most: float | None = None
    least: float | None = None
    low: str = ""

    def excess(self, value: float | None) -> float:
        """How far a value goes towards its limit: above 1 it is beyond; 0 for what was not measured."""
        if value is None:
            return 0.0
        up = value / self.most if self.most else 0.0
        down = self.least / max(value, self.least / _FURTHEST) if self.least is not None else 0.0
        return float(min(max(up, down), _FURTHEST))

    def reason(self, value: float) -> str:
        """Why a person should look, in words."""
        below = self.least is not None and value < self.least
        return (self.low if below and self.low else self.says).format(value)


_FURTHEST: Final = 8.0
"""A measure counts for so many times its limit at most: one of them does not bury all others."""

MEASURES: Final[tuple[Measure, ...]] = (
    Measure(
        "to_likeness",
        "distance to the likeness",
        "",
        "does not look like the likeness (distance {0:.2f})",
        "Distance of the output's embedding to the reference of the likeness; null without one.",
        most=0.5,
    ),
    Measure(
        "to_double",
        "distance to the double",
        "",
        "still looks like the double (distance {0:.2f})",
        "Distance of the output's embedding to the middle of the plate's own.",
        least=0.44,
    ),
    Measure(
        "to_shot",
        "distance to the shot",
        "",
        "looks like somebody else than the rest of the shot (distance {0:.2f})",
        "Distance of the output's embedding to the middle of the output's other frames.",
        most=0.42,
    ),
    Measure(
        "landmarks",
        "features against the plate",
        "% of face height",
        "features are not where the plate's are ({0:.1f} %)",
        "Mean distance of 51 inner landmarks from the plate's, the shot's usual offset of each taken off.",
        most=2.0,
    ),
    Measure(
        "shift",
        "placement",
        "% of face height",
        "the face is shifted, turned or of another size ({0:.1f} %)",
        "How the output's features as a whole lie against the plate's: shift, size and turn.",
        most=2.5,
    ),
    Measure(
        "gaze",
        "gaze",
        "% of eye width",
        "looks elsewhere than the plate ({0:.0f} %)",
        "Distance of the irises from where the plate's are in the eye, the shot's usual difference taken off.",
        most=10.0,
    ),
    Measure(
        "lids",
        "lids",
        "% of eye width",
        "blinks or opens its eyes other than the plate ({0:.0f} %)",
        "Difference of the lids' opening from the plate's, the shot's usual difference taken off.",
        most=10.0,
    ),
    Measure(
        "lips",
        "lips",
        "% of face height",
        "opens its mouth other than the plate ({0:.1f} %)",
        "Difference of the lips' opening from the plate's, the shot's usual difference taken off.",
        most=2.5,
    ),
    Measure(
        "motion",
        "motion beside the plate's",
        "x",
        "moves more than the plate does ({0:.2f} times)",
        "Change of the face since the frame before over the plate's; null where the plate stands still.",
        least=0.5,
        low="stands still while the plate moves ({0:.2f} times)",
    ),
    Measure(
        "jitter",
        "jitter",
        "% of face height",
        "jumps for this frame ({0:.1f} %)",
        "How far the placement is from the middle of this frame's and its neighbours'.",
        most=1.2,
    ),
    Measure(
        "flicker",
        "flicker",
        "delta E",
        "light or colour flickers ({0:.1f} delta E)",
        "How far the output's difference from the plate is from the middle of this frame's and its neighbours'.",
        most=1.8,
    ),
    Measure(
        "tone",
        "tone",
        "delta E",
        "another tone than the plate's skin ({0:.1f} delta E)",
        "Difference of the mean colour from the plate's, in the part that was replaced.",
        most=5.0,
    ),
    Measure(
        "cast",
        "tone against the shot",
        "delta E",
        "another tone than in the rest of the shot ({0:.1f} delta E)",
        "How far `tone`, as a colour, is from the shot's usual.",
        most=3.5,
    ),
    Measure(
        "seam",
        "seam",
        "delta E",
        "a seam at the edge ({0:.1f} delta E)",
        "Difference from the plate right inside the matte's edge, in its worst quarter.",
        most=6.0,
    ),
    Measure(
        "covered",
        "matte coverage",
        "%",
        "",
        "Part of the inner face that was replaced.",
        least=50.0,
        low="little of the face was replaced ({0:.0f} %)",
    ),
    Measure(
        "hole",
        "holes in the matte",
        "% of inner face",
        "a hole in the matte ({0:.1f} %)",
        "Holes in the matte that no artist's matte asks for.",
        most=0.5,
    ),
    Measure(
        "gap",
        "matte against the shot",
        "% of inner face",
        "the matte leaves out what it usually covers ({0:.1f} %)",
        "What is replaced in most frames and not in this one, although the plate looks as usual there.",
        most=3.0,
    ),
    Measure(
        "stray",
        "changed outside the matte",
        "pixels",
        "{0:.0f} pixels outside the matte are not the plate's",
        "Pixels that differ from the plate where nothing was replaced; in a comp, far from the face.",
        most=0.5,
    ),
    Measure(
        "grain",
        "grain beside the plate's",
        "x",
        "more grain than the plate ({0:.2f} times)",
        "Grain of the replaced face over the plate's; null where the plate has none.",
        most=1.5,
        least=0.65,
        low="less grain than the plate ({0:.2f} times)",
    ),
    Measure(
        "sharpness",
        "sharpness beside the plate's",
        "x",
        "sharper than the plate ({0:.2f} times)",
        "Contrast of fine detail over the plate's.",
        most=1.3,
        least=0.75,
        low="softer than the plate ({0:.2f} times)",
    ),
    Measure(
        "realism",
        "realism",
        "",
        "",
        "Whether tiles of the face's texture look as usual as the plate's own: 1, they do; 0, each looks stranger.",
        least=0.5,
        low="its texture is not the plate's ({0:.2f})",
    ),
)
BY_NAME: Final[Mapping[str, Measure]] = {measure.name: measure for measure in MEASURES}


@dataclass(frozen=True)
class Verdict:
    """A frame's score, and what is beyond its limits, the furthest first."""

    score: float
    alarms: tuple[str, ...]
    reasons: tuple[str, ...]


def judge(values: Mapping[str, float | None]) -> Verdict:
    """Judge a frame by its measures.

    The score is below 1 where nothing is beyond its limit: then it is how near to one the nearest measure is. Above
    1 it is 1 and the sum of all that is beyond, in limits.
    """
    ratios = {name: BY_NAME[name].excess(value) for name, value in values.items()}
    beyond = sorted((name for name, ratio in ratios.items() if ratio > 1.0), key=lambda name: -ratios[name])
    score = 1.0 + sum(ratios[name] - 1.0 for name in beyond) if beyond else max(ratios.values(), default=0.0)
    reasons = [BY_NAME[name].reason(value) for name in beyond if (value := values[name]) is not None]
    return Verdict(round(score, 3), tuple(beyond), tuple(reasons))
