"""Every format that vfxswap reads from outside: a good file of it, what damages it, and what reads it to the end.

`read` raises a VfxSwapError of one of `refused`, or takes the file; anything else is a defect.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import rfc8785

from vfxswap import align, archive, cryptomatte, exr, faceset, measure, trust, vfxmodel
from vfxswap.cli.config import Config
from vfxswap.cli.farm_paths import PathRules
from vfxswap.cli.farm_roots import Roots
from vfxswap.conform import Timeline
from vfxswap.errors import (
    ColorError,
    ConfigError,
    ConsentError,
    FacesetError,
    JobError,
    ModelError,
    OutputError,
    PlateError,
    ProvenanceError,
    TimelineError,
    TrackError,
    UsageError,
    VfxSwapError,
)
from vfxswap.face import export
from vfxswap.face import track as tracks
from vfxswap.face.export import nuke
from vfxswap.face.export.view import View
from vfxswap.geometry import Window
from vfxswap.job import SwapJob
from vfxswap.lens import Lens
from vfxswap.matte_input import MatteInput
from vfxswap.pixels import ModelRgb
from vfxswap.provenance import Trust, manifest, shards, verify
from vfxswap.publish import evidence
from vfxswap.qc import known, records
from vfxswap.sequence import FrameRange, SequencePath
from vfxswap.trust import KeyRing, ShotId

from .hostile import mutated_archive, mutated_array, mutated_bytes, mutated_json, mutated_text, packed, unpacked
from .support import SIZE, Studio, job, network, write_frame

GOLDEN = Path(__file__).parent / "golden"
DATA = Path(__file__).parent / "data"
DEMO = Path(__file__).parents[1] / "examples" / "demo"
SMALL = 32

Mutate = Callable[[Random, bytes], bytes]


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        name: of the format.
        file: where the damaged file goes, below a folder of its own.
        good: bytes of good files, one of which is damaged.
        mutate: what damages them.
        read: reads the file at a path, and uses all of it.
        refused: what it may raise.
        beside: other files that the reader wants: path below the folder -> bytes.
        seconds: most time for one file.
    """

    name: str
    file: str
    good: tuple[bytes, ...]
    mutate: Mutate
    read: Callable[[Path], object]
    refused: tuple[type[VfxSwapError], ...]
    beside: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 10.0

    def example(self, random: Random) -> bytes:
        """A damaged file."""
        return self.mutate(random, random.choice(self.good))

    def lay(self, folder: Path, data: bytes) -> Path:
        """Write `data` and what belongs beside it into `folder`; returns the damaged file."""
        for name, other in {**self.beside, self.file: data}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(other)
        return folder / self.file


# ------------------------------------------------------------------------------------------------- readers


def _job(path: Path) -> None:
    found = SwapJob.load(path)
    SequencePath.parse(found.plate)
    SequencePath.parse(found.output).require_token()
    if found.frames:
        FrameRange.parse(found.frames)
    for one in found.swaps:
        for text in one.matte:
            SequencePath.parse(MatteInput.parse(text).pattern)
    Roots.of([path.parent], {}).check_job(found)
    PathRules().job(path)
    SwapJob.make(**json.loads(found.to_json()))


def _path_rules(path: Path) -> None:
    rules = PathRules.load(path, {})
    for text in ("/mnt/shows/a.exr", "Z:\\shows\\b", ""):
        rules.path(text)


def _track(path: Path) -> None:
    found = tracks.load(path)
    export.json_text(found)
    tracks.describe(found)
    for face in found.faces:
        for seen in found.face(face.id).values():
            align.crop_window(align.crop_matrix(seen.similarity, size=SIZE), size=SIZE)


def _shot(path: Path) -> None:
    found = measure.load(path)
    measure.smooth(found.relight, found.curve)
    if found.grain is not None:
        found.grain.take(Window(0, 0, 8, 8), seed=b"x")
        found.grain.sigma(np.ones((2, 3), np.float32))
    if found.placement is not None:
        align.placed(np.eye(2, 3), size=SIZE, placement=found.placement)


def _model(path: Path, *, studio: Studio) -> None:
    model = studio.open(path)
    size = model.resolution
    told = None if model.card.condition is None else np.zeros(len(model.card.condition.rest), np.float32)
    if size <= 256:
        model.swap(ModelRgb(np.full((size, size, 3), 0.5, np.float32)), told)


def _faceset(path: Path) -> None:
    found = faceset.load(path.parent)
    found.usable()
    found.digest()
    for row in found.rows():
        assert (path.parent / faceset.CROPS / f"{row.crop.name}.exr").resolve().is_relative_to(path.parent.resolve())


def _consent(path: Path, *, ring: Path) -> None:
    gate = trust.Gate(KeyRing.load(ring), [path, path.parent / "other.json"])
    gate.authorize(
        shot=ShotId.local("x"),
        use="swap",
        performers={"likeness": "ben", "double": "anna"},
        model_sha256="ab" * 32,
        origin=({"id": "none", "sha256": "0" * 64},),
    )


def _ring(path: Path) -> None:
    ring = KeyRing.load(path.parent)
    from vfxswap.trust import revocations

    revocations.withdrawn(ring, now=datetime.now(UTC))


def _manifest(path: Path) -> None:
    found = manifest.read(path)
    found.check(KeyRing.load(path.parent / "ring"))
    manifest.hash_list(found.statement)
    verify(path.parent, Trust(KeyRing.load(path.parent / "ring")))


def _verified(path: Path) -> None:
    verify(path.parent, Trust(KeyRing.load(path.parent / "ring")))


def _shard(path: Path) -> None:
    shards.read_all(path.parents[2], "out")
    shards.read(path)


def _keys(path: Path, *, track: tracks.Track) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    read = export.from_nk if path.suffix == ".nk" else export.from_json
    edits = read(text, track)
    track.with_keys(edits.face, edits.keys).face(edits.face)


def _timeline(path: Path) -> None:
    found = Timeline(path)
    entries = found.entries(handles=2)
    cuts = [entry.cut for entry in entries if entry.cut is not None]
    found.with_results([(cut, str(path.parent / "r.####.exr"), "job") for cut in cuts]).save(path.with_name("o.otio"))


def _lens(path: Path) -> None:
    lens = Lens.load(path, display=(64, 48))
    lens.from_plate(lens.to_plate(np.array([[1.0, 2.0], [60.0, 40.0]])))
    lens.undistort(np.zeros((48, 64, 3), np.float32))


def _exr(path: Path) -> None:
    exr.probe(path)
    exr.read(path)


def _cryptomatte(path: Path) -> None:
    said = {"cryptomatte/1234567/name": "crypto", "cryptomatte/1234567/manif_file": path.name}
    (layer,) = cryptomatte.layers(said, path=path.with_name("ids.exr"))
    for name in ("hand", "lamp*", "<1234abcd>", "[a-z]*"):
        try:
            layer.ids([name])
        except PlateError as error:
            str(error)


def _defaults(path: Path) -> None:
    from vfxswap import cli

    found = Config.load(path, commands=tuple(cli.COMMANDS))
    for name in ("swap", "train", "farm"):
        found.defaults(name, cli.load(name))
    SwapJob.load(path.with_name("job.json"), defaults=found.job_fields())


def _training(path: Path) -> None:
    from vfxswap.cli.training_run import origin
    from vfxswap.models import config_from_json
    from vfxswap.train import checkpoint, warm

    origin([], path.parent)
    state = checkpoint.load_state(path.parent)
    if state is not None:
        config_from_json(state.architecture, state.network)
        list(warm.stands_on(state))
        checkpoint.best_of(path.parent)


def _tensors(path: Path) -> None:
    import torch

    from vfxswap.train import checkpoint

    state = checkpoint.load_state(path.parent)
    assert state is not None
    _, found = checkpoint.load_whole(path.parent, state)
    module = torch.nn.Linear(3, 2)
    checkpoint.unpack("net", module, found)
    optimizer = torch.optim.Adam(module.parameters())
    checkpoint.unpack_optimizer("adam", optimizer, found)


def _qc(path: Path) -> None:
    problems = []
    for read in (records.read, partial(evidence.read, hashes={1001: "ab" * 32})):
        try:
            read(path)
        except OutputError as error:
            problems.append(error)
    if len(problems) == 2:
        raise problems[0]


def _worst(path: Path) -> None:
    from vfxswap.train.worst import read_worst

    read_worst(path.read_bytes(), path=path)


def _rounds(path: Path) -> None:
    from vfxswap.train.retrain import read_rounds

    read_rounds(path.parents[1])


def _ocio(path: Path) -> None:
    from vfxswap.color import ColorConfig

    assert ColorConfig.load(path).hash


# ------------------------------------------------------------------------------------------------- good files


def _graph(random: Random, data: bytes) -> bytes:
    """A model whose network is damaged, with a manifest that vouches for the damage."""
    head, members = unpacked(data)
    card = json.loads(head)
    members[vfxmodel.NETWORK] = mutated_bytes(random, members[vfxmodel.NETWORK])
    card["onnx_sha256"] = archive.sha256(members[vfxmodel.NETWORK])
    return packed(json.dumps(card).encode(), members)


def _payload(random: Random, data: bytes) -> bytes:
    """A manifest whose statement is damaged, in an envelope that is whole."""
    outer = json.loads(data)
    inner = mutated_json(random, base64.b64decode(outer["payload"]))
    with contextlib.suppress(ValueError, RecursionError):
        inner = rfc8785.dumps(json.loads(inner))
    return json.dumps({**outer, "payload": base64.b64encode(inner).decode()}).encode()


def _tensor_header(random: Random, data: bytes) -> bytes:
    """A safetensors file with another header, whose length is right."""
    if random.randrange(2):
        return mutated_bytes(random, data)
    size = int.from_bytes(data[:8], "little")
    head = mutated_json(random, data[8 : 8 + size])
    return len(head).to_bytes(8, "little") + head + data[8 + size :]


def _stmap(folder: Path) -> bytes:
    y, x = np.mgrid[0:48, 0:64].astype(np.float32) + 0.5
    channels = {"u": (x + 0.2 * np.sin(y / 9)) / 64, "v": 1 - y / 48}
    path = folder / "stmap.exr"
    exr.write_channels(path, channels={name: value.astype(np.float32) for name, value in channels.items()})
    return path.read_bytes()


def _keyed_track() -> tracks.Track:
    return tracks.load(GOLDEN / "track_v2.vfxtrack")


def _checkpoint(folder: Path) -> tuple[bytes, bytes]:
    import torch

    from vfxswap.train import checkpoint

    state = checkpoint.State.model_validate_json((GOLDEN / "training_v1.json").read_bytes())
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    tensors = {**checkpoint.pack("net", module), **checkpoint.pack_optimizer("adam", optimizer)}
    checkpoint.save(folder, tensors=tensors, state=state.model_copy(update={"step": 1200}))
    (path,) = folder.glob("*.safetensors")
    return path.read_bytes(), (folder / checkpoint.STATE).read_bytes()


def _otio(folder: Path) -> bytes:
    import opentimelineio as otio

    def span(first: float, count: float) -> Any:
        return otio.opentime.TimeRange(otio.opentime.RationalTime(first, 24), otio.opentime.RationalTime(count, 24))

    media = otio.schema.ImageSequenceReference(
        target_url_base=(DEMO / "plate").as_uri() + "/", name_prefix="plate.", name_suffix=".exr", start_frame=1003,
        frame_step=1, rate=24.0, frame_zero_padding=4, available_range=span(86400, 11),
    )  # fmt: skip
    timeline = otio.schema.Timeline(name="Reel")
    track = otio.schema.Track(kind=otio.schema.TrackKind.Video)
    track.append(otio.schema.Gap(duration=otio.opentime.RationalTime(5, 24)))
    track.append(otio.schema.Clip(name="a", media_reference=media, source_range=span(86402, 6)))
    timeline.tracks.append(track)
    return timeline.to_json_string().encode()


_WORST: dict[str, Any] = {
    "schema": "vfxswap.worst/1",
    "frames": [{"frame": 1009, "reason": "the lids flicker", "score": 2.5, "shot": "sh010"}, {"frame": 1010}],
}
_ROUNDS: dict[str, Any] = {
    "schema": "vfxswap.retrain/1",
    "rounds": [
        {"key": "k", "report": "r.json", "report_sha256": "ab" * 32, "plate": "p", "steps": 10, "began_at": 5,
         "frames": [{"frame": 1009, "reason": "x"}]}
    ],
}  # fmt: skip
_FIXES: dict[str, Any] = {
    "schema": "vfxswap.fixes/1",
    "face": 0,
    "keys": {
        "1001": {"scale": 1.02, "rotate": -1.5, "move": [3, -2], "reach": 5},
        "1003": {"landmarks": {"4": [110.5, 92.25], "152": [112.0, 101.0]}, "reach": "hold"},
    },
}
_QC: dict[str, Any] = {
    "schema": "vfxswap.qc/1",
    "software": "x",
    "limits": [{"name": "flicker", "label": "x", "unit": "x", "about": "x", "most": 0.5, "least": None}],
    "frames": [
        {"frame": 1001, "sha256": "ab" * 32, "values": {"flicker": 0.1, "stray": 0.0}, "alarms": [], "reasons": []}
    ],
    "worst": [],
}
_RULES: dict[str, Any] = {
    "version": "pathmapping-1.0",
    "path_mapping_rules": [
        {"source_path_format": "POSIX", "source_path": "/mnt/shows", "destination_path": "/shows"},
        {"source_path_format": "WINDOWS", "source_path": "Z:\\shows", "destination_path": "/shows"},
    ],
}
_TOML = b"""# a show
colorspace = "ACEScg"
color-context = { SHOT = "sh010" }
consent = ["a.json", "b.json"]
device = "cpu"

[swap]
layers = "ingredients"
mix = 0.75
pass = ["uv"]

[train]
preset = "tiny"

[farm.submit]
to = "openjd"
chunk = 4
"""


NAMES = (
    "job", "path-rules", "vfxtrack", "vfxshot", "vfxmodel", "onnx", "faceset", "faceset-arrays", "consent", "keyring",
    "revocations", "reference", "manifest", "statement", "shard", "nk", "fixes", "stmap", "exr", "cryptomatte", "toml",
    "training", "safetensors", "qc", "worst", "rounds", "ocio", "otio",
)  # fmt: skip


def formats(root: Path, studio: Studio) -> dict[str, Format]:
    """Every format, with good files made in `root`.

    Args:
        root: an empty folder.
        studio: keys, consents and a ring.
    """

    def golden(*names: str) -> tuple[bytes, ...]:
        return tuple((GOLDEN / name).read_bytes() for name in names)

    def js(value: Any) -> tuple[bytes, ...]:
        return (json.dumps(value).encode(),)

    for name in ("train", "plates"):
        (root / name).mkdir(parents=True)
    tensors, state = _checkpoint(root / "train")
    track = _keyed_track()
    write_frame(root / "plates" / "half.exr", np.full((SMALL, SMALL, 3), 0.5, np.float32))
    write_frame(root / "plates" / "float.exr", np.full((SMALL, SMALL, 3), 0.5), dtype=np.float32)
    fields = {"model": "m.vfxmodel", "consents": ("a.json",), "keyring": "ring", "matte": ("hand.####.exr:A,holdout",)}
    whole = job(studio, "plate/shot.####.exr", Path("out"), **fields).to_json()
    (studio.root / "small.onnx").write_bytes(network(size=16))
    small = studio.model("hostile", network(size=16), resolution=16)
    plain = {path.name: path.read_bytes() for path in studio.keyring.iterdir()}
    key = next(name for name in plain if name.endswith(".pub.json"))
    proof = {
        "ring/farm.pub.json": (GOLDEN / "provenance_v1/ring/farm.pub.json").read_bytes(),
        ".vfxswap/out/1001.json": (GOLDEN / "provenance_v1/1001.json").read_bytes(),
    }
    statement = (GOLDEN / "provenance_v1/out.provenance.json").read_bytes()
    two = {"other.json": studio.consents[1].read_bytes()}
    shots = golden(*(f"shot_v{number}.vfxshot" for number in (1, 2, 3, 4, 5, 6)))
    followed = (*golden("track_v2.vfxtrack"), (DATA / "track_v1.vfxtrack").read_bytes())
    models = (*golden("model_v1.vfxmodel", "model_v1_oldest.vfxmodel"), small.read_bytes())
    crops = {path.name: path.read_bytes() for path in (GOLDEN / "faceset_v2").iterdir()}
    index = crops.pop("faceset.json")
    vectors = {"schema": "vfxswap.reference/1", "performer": "ben", "model_sha256": "ab" * 32,
               "embeddings": [[0.1] * 128] * 5}  # fmt: skip
    view = View(track, 0, track.face(0), (1920, 1080))
    scripts = tuple(make(view).encode() for make in (nuke.tracker, nuke.corner_pin))
    listed = [
        Format("job", "job.json", (whole.encode(), *golden("job_v1.json", "job_v1_oldest.json")), mutated_json, _job,
               (JobError, UsageError, PlateError)),
        Format("path-rules", "rules.json", js(_RULES), mutated_json, _path_rules, (JobError,)),
        Format("vfxtrack", "t.vfxtrack", followed, mutated_archive, _track, (TrackError,)),
        Format("vfxshot", "s.vfxshot", shots, mutated_archive, _shot, (TrackError,)),
        Format("vfxmodel", "m.vfxmodel", models, mutated_archive, partial(_model, studio=studio),
               (ModelError, ConsentError), seconds=20),
        Format("onnx", "m.vfxmodel", models, _graph, partial(_model, studio=studio), (ModelError, ConsentError),
               seconds=20),
        Format("faceset", "set/faceset.json", (index, *golden("faceset_v1/faceset.json")), mutated_json, _faceset,
               (FacesetError, ColorError), beside={f"set/{name}": data for name, data in crops.items()}),
        Format("faceset-arrays", "set/landmarks.npy", (crops["landmarks.npy"],), mutated_array, _faceset,
               (FacesetError,), beside={"set/faceset.json": golden("faceset_v1/faceset.json")[0]}),
        Format("consent", "a.json", (studio.consents[0].read_bytes(),), mutated_json,
               partial(_consent, ring=studio.keyring), (ConsentError,), beside=two),
        Format("keyring", key, (plain[key],), mutated_json, _ring, (ConsentError,), beside=plain),
        Format("revocations", "revocations.json", (plain["revocations.json"],), mutated_json, _ring, (ConsentError,),
               beside=plain),
        Format("reference", "r.json", js(vectors), mutated_json, _reference, (ConsentError, UsageError)),
        Format("manifest", "out.provenance.json", (statement,), mutated_json, _manifest, (ProvenanceError,),
               beside=proof),
        Format("statement", "out.provenance.json", (statement,), _payload, _manifest, (ProvenanceError,),
               beside=proof),
        Format("shard", ".vfxswap/out/1001.json", (proof[".vfxswap/out/1001.json"],), mutated_json, _shard, ()),
        Format("nk", "fix.nk", scripts, mutated_text, partial(_keys, track=track), (TrackError,)),
        Format("fixes", "fix.json", (*js(_FIXES), export.json_text(track).encode()), mutated_json,
               partial(_keys, track=track), (TrackError,)),
        Format("stmap", "lens.exr", (_stmap(root),), mutated_bytes, _lens, (PlateError,)),
        Format("exr", "a.exr", tuple(path.read_bytes() for path in sorted((root / "plates").iterdir())), mutated_bytes,
               _exr, (PlateError,)),
        Format("cryptomatte", "manifest.json", js({"hand": "1234abcd", "/set/lamp_01": "00000001"}), mutated_json,
               _cryptomatte, ()),
        Format("toml", "vfxswap.toml", (_TOML,), mutated_text, _defaults, (ConfigError, JobError),
               beside={"job.json": golden("job_v1.json")[0]}),
        Format("training", "state.json", (state, *golden("training_v1_oldest.json")), mutated_json, _training,
               (ModelError,)),
        Format("safetensors", "checkpoint-00001200.safetensors", (tensors,), _tensor_header, _tensors, (ModelError,),
               beside={"state.json": state}),
        Format("qc", "qc.json", js(_QC), mutated_json, _qc, (OutputError,)),
        Format("worst", "worst.json", js(_WORST), mutated_json, _worst, (UsageError,)),
        Format("rounds", "retrain/rounds.json", js(_ROUNDS), mutated_json, _rounds, (ModelError,)),
        Format("ocio", "config.ocio", (_OCIO.encode(),), mutated_text, _ocio, (ColorError,)),
    ]  # fmt: skip
    with contextlib.suppress(ImportError):  # the extra
        listed.append(
            Format("otio", "t.otio", (_otio(root),), mutated_json, _timeline, (TimelineError, PlateError, UsageError))
        )
    return {one.name: one for one in listed}


def _reference(path: Path) -> None:
    trust.references.read_reference(path)
    known.reference(path)


_OCIO = """ocio_profile_version: 2
roles:
  scene_linear: lin
  default: lin
displays:
  screen:
    - !<View> {name: raw, colorspace: lin}
colorspaces:
  - !<ColorSpace>
    name: lin
  - !<ColorSpace>
    name: other
    to_scene_reference: !<MatrixTransform> {matrix: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]}
"""
