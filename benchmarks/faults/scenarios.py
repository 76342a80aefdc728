"""The commands that are stopped, on material that costs them a second: small plates, a model made by hand, a short run.

Every command runs in the folder `work`, which holds what it starts from and is put back before each run; what it only
reads lies beside it. Paths are the same in every run, so that whole folders can be compared.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
import shutil
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# The repository's own tests: another package may have taken the name.
sys.modules["tests"] = types.ModuleType("tests")
sys.modules["tests"].__path__ = [str(Path(__file__).resolve().parents[2] / "tests")]

from tests import support  # noqa: E402
from tests.cli.facesets import trusted, write_plate  # noqa: E402

Runs = Callable[[Sequence[object]], int]

UNFINISHED = re.compile(r"(^|/)\.[^/]*\.(tmp|tmpdir)(/|$)|(^|/)\.lock$|\.next$|(^|/)\.building/|/reading\.[^/]*\.json$")
"""Names of what a process is still writing, or of locks; nobody takes them for results."""

LOCK = re.compile(r"(^|/)\.lock$")


@dataclass(frozen=True)
class Scenario:
    """A command and what it has to leave.

    Attributes:
        arguments: of the command line.
        start: what it starts from, a name of `Material.starts`; empty: an empty folder.
        there: the command's exit code when everything is there already; some say that they write over nothing.
        growing: names of files that are other ones while the command is at work, and all of them whole.
        once: what is left by one more run than needed: a publish makes another version.
    """

    arguments: tuple[str, ...]
    start: str = ""
    there: int = 0
    growing: str = "(?!)"
    once: str = "(?!)"


@dataclass(frozen=True)
class Start:
    """A folder that commands start from: what another one holds, and what `commands` and `do` add to it."""

    commands: tuple[tuple[str, ...], ...] = ()
    base: str = ""
    do: Callable[[], None] = lambda: None


@dataclass
class Material:
    """What the commands read and start from; `draw` makes its pictures, `starting` the rest, once it is asked for."""

    root: Path
    run: Runs

    @property
    def work(self) -> Path:
        """The folder that every command runs in."""
        return self.root / "work"

    def environment(self) -> dict[str, str]:
        """Nobody's own keys, one thread."""
        return {"OMP_NUM_THREADS": "1", "XDG_CONFIG_HOME": str(self.root / "config")}

    def reset(self, start: str) -> None:
        """The folder as a command finds it; file times are kept, caches know files by them."""
        kept = self.root / "start" / start
        if start and not kept.exists():
            made = self.starts[start]
            self.reset(made.base)
            made.do()
            for command in made.commands:
                if code := self.run(command):
                    raise SystemExit(f"{' '.join(command)} ended with {code}")
            shutil.copytree(self.work, kept)
        unlocked(self.work)
        shutil.rmtree(self.work, ignore_errors=True)
        if start:
            shutil.copytree(kept, self.work)
        else:
            self.work.mkdir(parents=True)

    def draw(self) -> None:
        """Write pictures, keys and consents; in a process of its own, for libraries start threads."""
        support.Studio.make(self.root / "studio").model()
        support.write_plate(self.root / "plate", frames=4, size=192)
        write_plate(self.root / "looks", frames=4)
        write_plate(self.root / "more", frames=2, tint=(1.1, 1.0, 0.9))
        write_plate(self.root / "other", frames=4, tint=(0.7, 0.9, 1.1))
        for eye, aside in (("left", 0.0), ("right", -3.0)):
            (self.root / "stereo" / eye).mkdir(parents=True)
            for i in range(2):
                file = self.root / "stereo" / eye / f"shot.{1001 + i}.exr"
                support.write_frame(file, support.astronaut(192, shift=aside + 1.25 * i), frame=1001 + i)
        worst = [{"frame": frame, "score": 1.0, "reason": "soft"} for frame in (1003, 1001)]
        (self.root / "worst.json").write_text(json.dumps({"schema": "vfxswap.worst/1", "frames": worst}))
        if importlib.util.find_spec("opentimelineio"):  # of an extra, for `otio` alone
            _timeline(self.root / "reel.otio", self.root / "plate", {"talk": (1001, 2), "look": (1003, 2)})

    @cached_property
    def studio(self) -> support.Studio:
        """Keys and consents."""
        folder = self.root / "studio"
        return support.Studio(folder, tuple(folder / f"{name}.consent.json" for name in ("ben", "anna")))

    @cached_property
    def trust(self) -> tuple[str, ...]:
        """The options that every gated command takes."""
        return tuple(trusted(self.studio))

    @cached_property
    def plate(self) -> str:
        """Four frames of a face."""
        return str(self.root / "plate" / "shot.####.exr")

    def _build(self, plate: str, performer: str, *more: str) -> tuple[str, ...]:
        pattern, folder = str(self.root / plate / "look.####.exr"), str(self.work / performer)
        fixed = ("--performer", performer, "--output", folder, "--size", "80", "--device", "cpu")
        return ("faceset", "build", pattern, *fixed, *self.trust, *more)

    def _train(self, steps: int) -> tuple[str, ...]:
        fixed = ("--preset", "test", "--batch", "2", "--precision", "fp32", "--device", "cpu", "--score-every", "3")
        sets = ("--likeness", str(self.work / "ben"), "--double", str(self.work / "anna"))
        return ("train", str(self.work / "m"), *sets, *self.trust, *fixed, "--steps", str(steps))

    @cached_property
    def _track(self) -> tuple[str, ...]:
        return ("track", self.plate, "--output", str(self.work / "t.vfxtrack"))

    @cached_property
    def _track_both(self) -> tuple[str, ...]:
        plate = str(self.root / "stereo" / "%V" / "shot.####.exr")
        return ("track", plate, "--view", "all", "--output", str(self.work / "%V.vfxtrack"))

    @cached_property
    def _retrain(self) -> tuple[str, ...]:
        asked = ("--report", str(self.root / "worst.json"), "--plate", str(self.root / "other" / "look.####.exr"))
        sets = ("--likeness", str(self.work / "ben"), "--double", str(self.work / "anna"))
        fixed = ("--worst", "2", "--steps", "3", "--device", "cpu")
        return ("retrain", str(self.work / "m"), *asked, *sets, *self.trust, *fixed)

    @cached_property
    def _submit(self) -> tuple[str, ...]:
        farm = str(self.work / "farm")
        return ("farm", "submit", str(self.work / "job.json"), "--to", "openjd", "--chunk", "2", "--into", farm)

    def _at_work(self, step: str, *more: str) -> tuple[str, ...]:
        return ("farm", "work", step, str(self.work / "farm" / "job.json"), *more)

    def _save_job(self) -> None:
        job = support.job(self.studio, self.plate, self.work / "out", layers="ingredients", passes=["uv"])
        job.save(self.work / "job.json")

    @cached_property
    def starts(self) -> dict[str, Start]:
        """Name -> what a command can start from."""
        return {
            "ben": Start((self._build("looks", "ben", "--stills"),)),
            "both": Start((self._build("other", "anna"),), base="ben"),
            "trained": Start((self._train(4),), base="both"),
            "tracked": Start((self._track,)),
            "job": Start(do=self._save_job),
            "rendered": Start((("run", str(self.work / "job.json")),), base="job"),
            "submitted": Start((self._submit,), base="job"),
            "followed": Start((self._at_work("track"),), base="submitted"),
            "measured": Start((self._at_work("measure"),), base="followed"),
            "whole": Start((self._at_work("swap"),), base="measured"),
        }

    @cached_property
    def scenarios(self) -> dict[str, Scenario]:
        """Name -> command."""
        work, plate, model = str(self.work), self.plate, str(self.studio.model())
        track, out, frames = f"{work}/t.vfxtrack", f"{work}/out", f"{work}/out/out.####.exr"
        cpu = (*self.trust, "--device", "cpu")
        key = self.studio.root / "private" / "prod.key.pem"
        return {
            "track": Scenario(self._track, there=4),
            "track both views": Scenario(self._track_both, there=4),
            "track fix": Scenario(("track", "fix", track, "--frame", "1002", "--set", "move=1,2"), "tracked"),
            "measure": Scenario(
                ("measure", plate, "--track", track, "--model", model, "--output", f"{work}/m.vfxshot", *cpu),
                "tracked",
                there=4,
            ),
            "swap": Scenario(("swap", plate, "--model", model, "--output", frames, "--pass", "uv", *cpu)),
            "run": Scenario(("run", f"{work}/job.json"), "job"),
            "faceset build": Scenario(self._build("looks", "ben", "--stills"), there=2),
            "faceset append": Scenario(self._build("more", "ben", "--append"), "ben"),
            "train": Scenario(self._train(9), "both", growing=r"^m/"),
            "retrain": Scenario(self._retrain, "trained", growing=r"^m/"),
            "export": Scenario(
                ("export", f"{work}/m", "--output", f"{work}/m.vfxmodel", *self.trust), "trained", there=4
            ),
            "export for Nuke": Scenario(
                ("export", f"{work}/m", "--output", f"{work}/nuke", "--to", "nuke-cat", *self.trust), "trained", there=4
            ),
            "otio": Scenario(
                (
                    *("otio", str(self.root / "reel.otio"), "--clip", "talk", "--clip", "look", "--model", model),
                    *("--output", out, *cpu),
                )
            ),
            "farm submit": Scenario(self._submit, "job"),
            "farm work track": Scenario(self._at_work("track"), "submitted"),
            "farm work measure": Scenario(self._at_work("measure"), "followed"),
            "farm work swap": Scenario(self._at_work("swap", "--frames", "1001-1002"), "measured"),
            "farm work finalise": Scenario(self._at_work("finalise"), "whole"),
            "qc": Scenario(
                ("qc", frames, "--plate", plate, "--output", f"{work}/qc.json", "--worst", f"{work}/worst.json"),
                "rendered",
                there=4,
            ),
            "review": Scenario(
                ("review", frames, "--plate", plate, "--output", f"{work}/review.html"), "rendered", there=4
            ),
            "provenance finalise": Scenario(
                ("provenance", "finalise", out, "--key", str(key), "--passphrase-file", str(self._passphrase)),
                "rendered",
            ),
            "publish": Scenario(
                ("publish", f"{work}/job.json", "--into", f"{work}/published"), "rendered", once=r"^published/v\d+/"
            ),
        }

    @cached_property
    def _passphrase(self) -> Path:
        file = self.root / "passphrase"
        file.write_text(support.PASSPHRASE)
        return file


def _timeline(file: Path, plate: Path, clips: Mapping[str, tuple[int, int]]) -> None:
    """Cuts of a plate's frames, each as (first, how many)."""
    import opentimelineio as otio

    def span(first: int, count: int) -> object:
        return otio.opentime.TimeRange(otio.opentime.RationalTime(first, 24), otio.opentime.RationalTime(count, 24))

    track = otio.schema.Track(kind=otio.schema.TrackKind.Video)
    for name, (first, count) in clips.items():
        media = otio.schema.ImageSequenceReference(
            target_url_base=plate.as_uri() + "/",
            name_prefix="shot.",
            name_suffix=".exr",
            start_frame=first,
            rate=24,
            frame_zero_padding=4,
            available_range=span(first, count),
        )
        track.append(otio.schema.Clip(name=name, media_reference=media, source_range=span(first, count)))
    timeline = otio.schema.Timeline(name="reel")
    timeline.tracks.append(track)
    otio.adapters.write_to_file(timeline, str(file))


def unlocked(folder: Path) -> None:
    """Versions are read-only: let their folders be removed."""
    for path in folder.rglob("*") if folder.exists() else ():
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


# ---------------------------------------------------------------------------------------------- comparing


def state(folder: Path) -> dict[str, str]:
    """Relative path -> digest of every file that is no lock, of what in it does not say when it was made."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {str(path.relative_to(folder)): path for path in files}
    return {name: digest(path) for name, path in names.items() if not LOCK.search(name)}


def digest(path: Path) -> str:
    """Of a file's bytes, without the times that are written into it; raises ValueError where it is half."""
    data = path.read_bytes()
    if UNFINISHED.search(str(path)):
        return hashlib.sha256(data).hexdigest()
    for suffix, plain in _TIMELESS.items():
        if path.name.endswith(suffix):
            try:
                data = plain(data)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path} is half: {error}") from error
    return hashlib.sha256(data).hexdigest()


def _statement(data: bytes) -> bytes:
    """A manifest's payload without when it was signed, and with what."""
    payload = json.loads(base64.b64decode(json.loads(data)["payload"]))
    payload["predicate"].pop("signing")
    return json.dumps(payload, sort_keys=True).encode()


def _without(*keys: str) -> Callable[[bytes], bytes]:
    def plain(data: bytes) -> bytes:
        return json.dumps(_dropped(json.loads(data), keys), sort_keys=True).encode()

    return plain


def _dropped(value: object, keys: Sequence[str]) -> object:
    if isinstance(value, Mapping):
        return {name: _dropped(part, keys) for name, part in value.items() if name not in keys}
    return [_dropped(part, keys) for part in value] if isinstance(value, list) else value


def _tensors(data: bytes) -> bytes:
    """A checkpoint without its header, which says how long it took."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 + length:
        raise ValueError("the header is cut off")
    head = json.loads(data[8 : 8 + length])
    end = max(part["data_offsets"][1] for name, part in head.items() if name != "__metadata__")
    if len(data) != 8 + length + end:
        raise ValueError("the tensors are cut off")
    return data[8 + length :]


def _lines(data: bytes) -> bytes:
    lines = [_dropped(json.loads(line), ("seconds",)) for line in data.decode().splitlines() if line]
    kept = {line["step"]: line for line in lines if isinstance(line, dict)}
    return json.dumps([kept[step] for step in sorted(kept)]).encode()


def _page(data: bytes) -> bytes:
    if not data.rstrip().endswith(b"</html>"):
        raise ValueError("it does not end")
    return b""


_TIMELESS: dict[str, Callable[[bytes], bytes]] = {
    ".provenance.json": _statement,
    ".c2pa": lambda data: b"c2pa" if len(data) > 1000 else b"",
    "publish.json": _without("time", "manifest_sha256"),
    "state.json": _without("seconds"),
    "cat.json": _without("checked_at"),
    ".safetensors": _tensors,
    "metrics.jsonl": _lines,
    "training.html": _page,
}
"""End of a name -> what of such a file is the same in every run."""
