"""Reading faces with the networks, and how much of that is done for each frame."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from vfxswap import infer
from vfxswap.face import DETECTORS, EMBEDDERS, FLOWS, LANDMARKERS, detect
from vfxswap.face.detect import Found
from vfxswap.face.doubt import sharpness
from vfxswap.face.exposed import Exposed
from vfxswap.face.flow import DisFlow
from vfxswap.face.landmarks import READABLE, locate, roi_from_detection, roi_from_landmarks
from vfxswap.face.people import Person, Sight
from vfxswap.face.protocols import Detector, Embedder, Flow, Landmarker
from vfxswap.pixels import F64

Quality = Literal["default", "fast"]
"""How much is done for each frame: `fast` reads fewer crops and takes no flow, for a first look at a shot."""


@dataclass(frozen=True)
class Effort:
    """What a quality means.

    Attributes:
        crops: perturbed crops averaged per face and frame.
        flow: whether flow between frames is measured.
        look: a plain look of the detector at every n-th frame while all is well.
        sweep: all looks at every n-th frame.
        identify: identity at every n-th frame.
    """

    crops: int
    flow: bool
    look: int
    sweep: int
    identify: int


EFFORTS: dict[Quality, Effort] = {
    "default": Effort(crops=8, flow=True, look=6, sweep=48, identify=6),
    "fast": Effort(crops=2, flow=False, look=8, sweep=96, identify=12),
}


@dataclass(frozen=True)
class Networks:
    """What a solve looks with, from the registries of `vfxswap.face`."""

    detector: Detector
    landmarker: Landmarker
    embedder: Embedder
    flow: Flow = field(default_factory=DisFlow)

    @staticmethod
    def load(
        *,
        device: infer.Device = "auto",
        threads: int = 0,
        detector: str = "yunet",
        landmarker: str = "mesh478",
        embedder: str = "dlib",
        flow: str = "dis",
    ) -> Networks:
        """Load them by name; raises ModelError, or KeyError for a name that is not registered."""
        return Networks(
            detector=DETECTORS[detector](device=device, threads=threads),
            landmarker=LANDMARKERS[landmarker](device=device, threads=threads),
            embedder=EMBEDDERS[embedder](device=device, threads=threads),
            flow=FLOWS[flow](),
        )


class Looker:
    """Reads faces with the networks."""

    def __init__(self, networks: Networks, effort: Effort) -> None:
        self.networks = networks
        self.effort = effort
        self.people: list[Person] = []
        self.frames: list[int] = []

    def read_found(self, frame: int, image: Exposed, found: Found, *, angle: float | None = None) -> Sight:
        """A detected face, at the exposure that suits it; `angle` is how far it is turned, where that is known."""
        stops, face = found.stops, found.face
        shown = image.at(stops, face.box.reshape(2, 2))
        if angle is None:
            first = locate(self.networks.landmarker, shown, face)
        else:
            first = self.networks.landmarker(shown, replace(roi_from_detection(face), angle=angle))
        if first.presence < READABLE:
            # No second look: a region drawn around points that cannot be trusted would drift off the face.
            return Sight(frame, first.points, first.presence, face.score, image.scale, stops=stops)
        stops = image.suited(first.points, stops)
        return self.read(frame, image, first.points, score=face.score, stops=stops)

    def read(self, frame: int, image: Exposed, near: F64, *, score: float, stops: float) -> Sight:
        """The careful look at a face, around where its points are thought to be."""
        shown = image.at(stops, near)
        look = self.networks.landmarker(shown, roi_from_landmarks(near), crops=self.effort.crops)
        sharp = sharpness(shown, look.points) if look.presence >= READABLE else 0.0
        return Sight(frame, look.points, look.presence, score, image.scale, look.spread, stops, sharp=sharp)

    def identified(self, image: Exposed, sight: Sight) -> Sight:
        """The sight with its identity, if it can be read."""
        if sight.embedding is not None or not sight.readable:
            return sight
        return replace(sight, embedding=self.networks.embedder(image.at(sight.stops, sight.points), sight.points))


class Stills(Looker):
    """Unrelated images: nobody is followed."""

    def look(self, frame: int, image: Exposed) -> None:
        """The n-th most prominent face of each image gets id n."""
        self.frames.append(frame)
        seen = [self.read_found(frame, image, found) for found in detect.search(self.networks.detector, image)]
        for rank, sight in enumerate(sorted(seen, key=lambda s: -Person([s]).prominence)):
            if rank == len(self.people):
                self.people.append(Person())
            self.people[rank].sights.append(self.identified(image, sight))
        image.release()
