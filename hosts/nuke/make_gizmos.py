"""Writes the gizmos: the knobs, the graph inside, and nothing else.

Run it after a change here or of the job's schema (docs/schemas/job.json), which tooltips, limits and choices come from:

    python hosts/nuke/make_gizmos.py
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCHEMA = 1
"""Of the gizmo's knobs; raised when a saved node has to be changed to fit (vfxswap_nuke.callbacks)."""

# As vfxswap writes them (docs/layers.md), by Nuke's names.
LAYERS = {
    "face": ("red", "green", "blue", "alpha"),
    "raw": ("red", "green", "blue"),
    "gain": ("red", "green", "blue"),
    "grain": ("red", "green", "blue"),
    "delta": ("red", "green", "blue"),
    "matte": ("face", "model", "occlusion", "person", "artist", "eyes", "mouth"),
    "quality": ("confidence",),
    "stmap": ("u", "v"),
}

# ------------------------------------------------------------------------------------------------ knobs

_STRING, _FILE, _INT, _ENUM, _BOOL, _DOUBLE, _XY, _TAB, _BUTTON, _TEXT, _LINK, _LINES = (
    1, 2, 3, 4, 6, 7, 12, 20, 22, 26, 41, 43,
)  # fmt: skip

_MISSING = "vfxswap is not installed here: the node shows what is cached, and can do no more."


@dataclass(frozen=True)
class Knob:
    """A line of `addUserKnob`, and the knob's value where it has one."""

    kind: int
    name: str
    label: str = ""
    tip: str = ""
    extra: str = ""
    value: str = ""

    def lines(self) -> list[str]:
        """As they stand in the gizmo."""
        label = f" l {quoted(self.label)}" if self.label else ""
        tip = f" t {quoted(self.tip)}" if self.tip else ""
        extra = f" {self.extra}" if self.extra else ""
        line = f"addUserKnob {{{self.kind} {self.name}{label}{tip}{extra}}}"
        return [line, f"{self.name} {self.value}"] if self.value else [line]


def quoted(text: str) -> str:
    """One word; what would be read as a command or a brace loses its meaning."""
    escaped = re.sub(r'(["\\\[\]{}$])', r"\\\1", text).replace("\n", "\\n")
    return f'"{escaped}"'


def guarded(module: str, call: str, otherwise: str) -> str:
    """Python that also runs where vfxswap is not installed."""
    return (
        f"try:\n    from vfxswap_nuke import {module}\nexcept ImportError:\n    {otherwise}\nelse:\n    {module}.{call}"
    )


def tab(name: str, label: str) -> Knob:
    """A page of the panel."""
    return Knob(_TAB, name, label)


def button(name: str, label: str, tip: str, *, line: bool = False) -> Knob:
    """A button that does `vfxswap_nuke.buttons.press(node, name)`."""
    script = guarded("buttons", f"press(nuke.thisNode(), '{name}')", f"nuke.message('{_MISSING}')")
    return Knob(_BUTTON, name, label, tip, f"T {quoted(script)}" + (" +STARTLINE" if line else ""))


def text(name: str, label: str = "", value: str = "") -> Knob:
    """A line of text; a divider with neither label nor value."""
    if not (label or value):
        return Knob(_TEXT, name, extra='l ""')
    return Knob(_TEXT, name, label or " ", extra=f"T {quoted(value)}" if value else "")


def choice(name: str, label: str, tip: str, words: list[str], *, value: str = "") -> Knob:
    """A menu."""
    listed = " ".join(quoted(word) if " " in word else word for word in words)
    return Knob(_ENUM, name, label, tip, f"M {{{listed}}}", value)


def number(name: str, label: str, tip: str, low: float, high: float, value: float) -> Knob:
    """A slider; it can be animated."""
    return Knob(_DOUBLE, name, label, tip, f"R {low:g} {high:g}", f"{value:g}" if value else "")


def hidden(knob: Knob) -> Knob:
    """A knob that is kept with the script and not shown."""
    return Knob(knob.kind, knob.name, knob.label, knob.tip, f"{knob.extra} +INVISIBLE".strip(), knob.value)


class Fields:
    """The job's fields, as its schema describes them."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.job: dict[str, Any] = schema["properties"]
        self.dials: dict[str, Any] = schema["$defs"]["SwapParameters"]["properties"]

    def tip(self, name: str, more: str = "") -> str:
        """What a field's description says, and what the node adds."""
        return " ".join(filter(None, [self.job[name]["description"], more]))

    def dial(self, name: str, label: str, more: str = "") -> Knob:
        """A parameter's knob with its limits, default, choices and unit."""
        found = self.dials[name]
        unit = f"In {found['unit']}." if found.get("unit") else ""
        tip = " ".join(filter(None, [found["description"], unit, more]))
        if "enum" in found:
            return choice(name, label, tip, found["enum"])
        return number(name, label, tip, found["minimum"], found["maximum"], found["default"])


_LIVE = "Live."
_BAKED = "Rendered: run again."
_LIVE_DIALS = ("mix", "relight", "grain")
"""Parameters that the graph applies; every other one is rendered."""
_LABELS = {"person": "limit to person"}


def swap_tab(fields: Fields) -> list[Knob]:
    """What is swapped, and the buttons."""
    return [
        tab("swap", "Swap"),
        Knob(_FILE, "model", "model", fields.tip("model")),
        text("model_info", "", "no model"),
        Knob(_STRING, "shot", "shot", fields.tip("shot")),
        Knob(_LINES, "consents", "consents", fields.tip("consents", "One file a line.")),
        Knob(_FILE, "keyring", "key ring", fields.tip("keyring", "Empty: the site's.")),
        text("divider_what"),
        Knob(_STRING, "face", "face", fields.tip("face"), value="0"),
        choice("frame_range", "range", "Which frames.", ["input", "global", "custom"]),
        Knob(_STRING, "frames", "custom range", fields.tip("frames"), "-STARTLINE"),
        Knob(_STRING, "view", "view", fields.tip("view")),
        Knob(_FILE, "lens", "lens STMap", fields.tip("lens")),
        Knob(_LINES, "matte", "mattes in the render", fields.tip("matte", "One a line. " + _BAKED)),
        text("divider_baked", "", "<b>Rendered</b>: these need another run"),
        *(
            fields.dial(name, _LABELS.get(name, name.replace("_", " ")), _BAKED)
            for name in fields.dials
            if name not in _LIVE_DIALS
        ),
        text("divider_run"),
        button("run", "Run", "Render what is missing or stale into the cache.", line=True),
        button(
            "preview", "Preview frame", "Render the frame of the viewer alone. The first one tracks the whole shot."
        ),
        button("cancel", "Cancel", "Stop after the frame at hand; frames that are done are kept."),
        button("farm", "Write farm job", "Write the job that a farm runs, and say where it is."),
        button("submit", "Submit ...", "Write the job and give it to a farm: OpenJD, OpenCue or Deadline."),
        button("reload", "Reload", "Read the cached frames again."),
        text("status", "status", "not rendered"),
    ]


def blend_tab(fields: Fields) -> list[Knob]:
    """What stays live."""
    return [
        tab("blend", "Blend"),
        text("divider_live", "", "<b>Live</b>: nothing is rendered again, everything can be animated"),
        fields.dial("mix", "mix", _LIVE),
        fields.dial("relight", "relight", _LIVE),
        fields.dial("grain", "grain", _LIVE),
        number("face_exposure", "face exposure", "Stops by which the face is brighter. " + _LIVE, -2, 2, 0),
        number(
            "trim_erode", "trim erode", "Pixels by which the matte is smaller; negative: larger. " + _LIVE, -20, 20, 0
        ),
        number("trim_blur", "trim blur", "Pixels by which the matte is softer. " + _LIVE, 0, 50, 0),
        text("divider_matte", "", "<b>Matte input</b>: shows the face where it is white"),
        Knob(_LINK, "matte_channel", "channel", "Which channel of the matte input is taken.", "T MatteCopy.from0"),
        Knob(_BOOL, "matte_invert", "invert", "Show the face where the matte is black.", "+STARTLINE"),
    ]


def output_tab() -> list[Knob]:
    """What comes out."""
    shown = "comp: the plate with the face in it. face: premultiplied. matte: its coverage. diff: comp minus plate."
    return [
        tab("output_tab", "Output"),
        choice("show", "output", shown + " stmap: plate to crop.", ["comp", "face", "matte", "diff", "stmap"]),
        choice("out_alpha", "alpha", "Whose alpha the comp has.", ["plate", "face"]),
        Knob(_BOOL, "keep_layers", "pass all layers", "Also put out face, raw, gain, matte, stmap ...", "+STARTLINE"),
    ]


def more_of_output() -> list[Knob]:
    """Colour, and what is written beside."""
    return [
        Knob(_LINK, "on_error", "missing frames", "What a frame that is not cached looks like. black: the plate.",
             "T Ingredients.on_error"),
        text("divider_color", "", "<b>Colour</b>"),
        Knob(_STRING, "color_space", "plate's space", "Empty: what the Read and the script say. Otherwise a name of"
             " the OCIO config for the plate's values."),
        Knob(_BOOL, "convert", "convert the face", "Set by a run: the cached face is in another space than the"
             " script's working space.", "+STARTLINE"),
        Knob(_LINK, "from_space", "from", "The space of the cached face.", "T ToWorking.in_colorspace"),
        Knob(_LINK, "to_space", "to", "The script's working space.", "T ToWorking.out_colorspace"),
    ]  # fmt: skip


def track_tab(fields: Fields) -> list[Knob]:
    """The track, out and back."""
    out = "Put the track of the last run into the script as"
    return [
        tab("track_tab", "Track"),
        Knob(_FILE, "track", "track", fields.tip("track")),
        Knob(_FILE, "measurements", "measurements", fields.tip("measurements")),
        button("keep_track", "Keep track", "Copy track and measurements of the last run beside the script, to be fixed:"
               " then only frames that a key reaches render again.", line=True),
        Knob(_INT, "reference", "reference frame", "Of tracker and corner pin. 0: the first."),
        button("to_tracker", "Tracker", f"{out} a Tracker.", line=True),
        button("to_cornerpin", "CornerPin", f"{out} two CornerPins: match-move and stabilise."),
        button("to_roto", "Roto", f"{out} a Roto with face, eyes and mouth."),
        button("to_stmap", "STMap", f"{out} an STMap: plate to face crop."),
        text("divider_fix", "", "Move points of that Tracker or CornerPin, select it, then"),
        Knob(_INT, "reach", "reach", "Frames over which a last key fades out. 0: its frame alone.",
             value="12"),
        button("fix", "Send fixes", "Write what was changed in the selected node into the track, as keys.", line=True),
        button("fix_and_run", "Send fixes and run", "The same; then the frames that changed are rendered again."),
    ]  # fmt: skip


def train_tab() -> list[Knob]:
    """Training from a panel."""
    return [
        tab("train_tab", "Train"),
        button("train", "Train ...", "Train a model, or go on with one. It ends with Nuke: long trainings belong into"
               " a shell or on a farm.", line=True),
        button("stop_training", "Stop", "Stop after the step at hand; nothing is lost."),
        button("export_model", "Export ...", "Write a trained model as a .vfxmodel and use it here."),
        text("train_status", "status", "no training"),
    ]  # fmt: skip


def cache_tab() -> list[Knob]:
    """Where frames are."""
    return [
        tab("cache_tab", "Cache"),
        Knob(_FILE, "cache_dir", "folder", "Where this node's versions are. Empty: vfxswap/ beside the script."),
        Knob(_INT, "cache_version", "version", "Each version is a folder of its own.", value="1"),
        button("version_down", "down", "Show the version below."),
        button("version_up", "up", "Start a new version, or show the next one."),
        button("clear", "Clear version", "Delete the frames of this version."),
        Knob(_FILE, "cache_file", "frames", "What is shown. Set by a run.", "+STARTLINE"),
        Knob(_INT, "cache_first", "first", "First frame of the cache."),
        Knob(_INT, "cache_last", "last", "Last frame of the cache.", "-STARTLINE"),
        Knob(_BOOL, "has_cache", "show the cache", "Off: the plate passes through.", "+STARTLINE"),
        text("stale", "state", "nothing is cached"),
        button("check_stale", "Check", "Compare the cache with the plate and the knobs."),
    ]


def info_tab(fields: Fields) -> list[Knob]:
    """About the node."""
    return [
        tab("info_tab", "Info"),
        text("about", "", "VfxSwap: one consenting performer's face on another, in scene-linear light."),
        text("versions", "versions", "unknown"),
        Knob(_STRING, "job_file", "job", "The job of the last run.", "+STARTLINE"),
        button("open_log", "Show log", "What the worker said in the last run."),
        choice("device", "device", fields.tip("device"), fields.job["device"]["enum"]),
        hidden(Knob(_INT, "vfxswap_schema", value=str(SCHEMA))),
        hidden(Knob(_STRING, "vfxswap_id")),
        hidden(Knob(_STRING, "cache_key")),
        hidden(Knob(_STRING, "plain_color")),
    ]


# ------------------------------------------------------------------------------------------------ graph


@dataclass
class Graph:
    """Nodes with their inputs, written in Nuke's stack language.

    A node takes its inputs from the stack, the first one from the top, and puts itself there.
    """

    lines: list[str] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)

    def add(self, kind: str, name: str, inputs: list[str], at: tuple[int, int], *knobs: str) -> str:
        """A node below `inputs`; returns its name."""
        wanted = inputs[::-1]
        if inputs and self.stack[-len(wanted) :] != wanted:
            for one in wanted:
                self.lines.append(f" push $N{one}")
                self.stack.append(one)
        if inputs:
            del self.stack[-len(wanted) :]
        count = [] if len(inputs) == 1 else [f"inputs {len(inputs)}"]
        body = [*count, *knobs, f"name {name}", f"xpos {at[0]}", f"ypos {at[1]}"]
        self.lines += [f" {kind} {{", *(f"  {line}" for line in body), " }", f" set N{name} [stack 0]"]
        self.stack.append(name)
        return name

    def text(self) -> str:
        """The lines; a `set` that nothing pushes is left out."""
        used = {line.split("$")[1] for line in self.lines if line.startswith(" push ")}
        kept = [line for line in self.lines if not line.startswith(" set ") or line.split()[1] in used]
        return "\n".join(kept) + "\n"


def relit(layer: str) -> list[str]:
    """The finished face under the live relight, without its grain: that is put on last."""
    live = "pow(2, (parent.relight - 1) * gain.{c} + parent.face_exposure)"
    return [f'expr{i} "({layer}.{c} - grain.{c}) * {live.format(c=c)}"' for i, c in enumerate(("red", "green", "blue"))]


def regrown() -> list[str]:
    """The face's colour under another alpha: the finished face where there is one, else the network's, relit."""
    lines = []
    for i, c in enumerate(("red", "green", "blue")):
        inside = f"(face.{c} - grain.{c}) / face.alpha * pow(2, (parent.relight - 1) * gain.{c} + parent.face_exposure)"
        beyond = f"raw.{c} * pow(2, parent.relight * gain.{c} + parent.face_exposure)"
        lines.append(f'expr{i} "(face.alpha > 0.001 ? {inside} : {beyond}) * a"')
    return lines


def grained() -> list[str]:
    """The grain again, as much as the alpha of now wants: as vfxswap.render puts it on, so that the plate's goes on."""
    unit = "(face.alpha > 0 ? grain.{c} / sqrt(face.alpha * (2 - face.alpha)) : 0)"
    lines = []
    for i, c in enumerate(("red", "green", "blue")):
        lines.append(f'expr{i} "{c[0]} + parent.grain * {unit.format(c=c)} * sqrt(a * (2 - a))"')
    return lines


def limited() -> list[str]:
    """The premultiplied face where the matte input lets it be seen."""
    limit = "(parent.matte_invert ? 1 - mask.a : mask.a)"
    return [f'expr{i} "{c} * {limit}"' for i, c in enumerate("rgba")]


def comp(graph: Graph, plate: str, ingredients: str, matte: str, *, matte_number: int) -> str:
    """The comp from its ingredients, as vfxswap adds it up; returns the node that holds what is shown."""
    light = graph.add("Expression", "Light", [ingredients], (0, 100), *relit("face"), "expr3 face.alpha")
    eroded = graph.add("FilterErode", "TrimErode", [light], (165, 150), "channels alpha", "size {{parent.trim_erode}}")
    soft = graph.add("Blur", "TrimBlur", [eroded], (165, 200), "channels alpha", "size {{parent.trim_blur}}")
    trimmed = graph.add("Expression", "Trimmed", [soft], (165, 250), *regrown())
    face = graph.add(
        "Switch", "TrimSwitch", [light, trimmed], (0, 300),
        'which {{"parent.trim_erode != 0 || parent.trim_blur != 0"}}',
    )  # fmt: skip
    there = f'disable {{{{"!\\[exists parent.input{matte_number}]"}}}}'
    matte = graph.add("Dot", "MatteDot", [matte], (495, 430))
    face = graph.add("Copy", "MatteCopy", [face, matte], (0, 430), "from0 rgba.alpha", "to0 mask.a", there)
    face = graph.add("Expression", "MatteLimit", [face], (0, 480), *limited(), there)
    face = graph.add("Multiply", "Mix", [face], (0, 530), "channels rgba", "value {{parent.mix}}")
    face = graph.add("Expression", "Grain", [face], (0, 590), *grained())
    face = graph.add(
        "OCIOColorSpace", "ToWorking", [face], (0, 650),
        "in_colorspace scene_linear", "out_colorspace scene_linear", 'disable {{"!parent.convert"}}',
    )  # fmt: skip
    copied = [line for i, c in enumerate(("red", "green", "blue", "alpha"))
              for line in (f"from{i} rgba.{c}", f"to{i} rgba.{c}")]  # fmt: skip
    aside = graph.add("Dot", "LayersDot", [ingredients], (-165, 60))
    layered = graph.add("Copy", "WithLayers", [aside, plate], (-165, 430), *copied)
    base = graph.add("Switch", "Base", [plate, layered], (-330, 520), "which {{parent.keep_layers}}")
    over = graph.add("Merge2", "Over", [base, face], (-330, 720), "output rgb")
    comped = graph.add(
        "Copy", "FaceAlpha", [over, face], (-330, 800),
        "from0 rgba.alpha", "to0 rgba.alpha", 'disable {{"parent.out_alpha == 0"}}',
    )  # fmt: skip
    shown = graph.add("Expression", "ShowMatte", [face], (0, 800), *(f"expr{i} a" for i in range(4)))
    before = graph.add("Dot", "PlateDot", [plate], (-495, 60))
    changed = graph.add("Merge2", "ShowDiff", [before, over], (-495, 800), "operation minus", "output rgb")
    map_dot = graph.add("Dot", "MapDot", [ingredients], (330, 60))
    mapped = graph.add(
        "Expression", "ShowMap", [map_dot], (330, 800), "expr0 stmap.u", "expr1 stmap.v", "expr2 0",
        "expr3 face.alpha",
    )  # fmt: skip
    return graph.add("Switch", "Show", [comped, face, shown, changed, mapped], (-330, 900), "which {{parent.show}}")


def entry(graph: Graph, name: str, number: int, x: int) -> str:
    """An input of the group."""
    return graph.add("Input", name, [], (x, 0), *([f"number {number}"] if number else []))


def swap_graph() -> Graph:
    """The comp over what is cached; the plate where nothing is."""
    graph = Graph()
    matte = entry(graph, "matte", 1, 495)
    cached = graph.add(
        "Read", "Ingredients", [], (0, 0), r'file "\[value parent.cache_file]"', "file_type exr",
        "first {{parent.cache_first}}", "last {{parent.cache_last}}", "origfirst {{parent.cache_first}}",
        "origlast {{parent.cache_last}}", "origset true", "raw true",
        "before black",
        "after black", 'disable {{"!parent.has_cache"}}',
    )  # fmt: skip
    plate = entry(graph, "plate", 0, -330)
    shown = comp(graph, plate, cached, matte, matte_number=1)
    out = graph.add("Switch", "Cached", [plate, shown], (-330, 980), "which {{parent.has_cache}}")
    graph.add("Output", "Output1", [out], (-330, 1060))
    return graph


def comp_graph() -> Graph:
    """The comp from ingredients that are an input."""
    graph = Graph()
    matte = entry(graph, "matte", 2, 495)
    ingredients = entry(graph, "ingredients", 1, 0)
    plate = entry(graph, "plate", 0, -330)
    graph.add("Output", "Output1", [comp(graph, plate, ingredients, matte, matte_number=2)], (-330, 1000))
    return graph


def gizmo(name: str, about: str, color: str, knobs: list[Knob], graph: Graph, *, calls: dict[str, str]) -> str:
    """The whole text of a gizmo: `Group`, so that scripts keep the node and open without it being installed."""
    head = ["set cut_paste_input [stack 0]", "version 13.0 v1"]
    head += [f"add_layer {{{layer} {' '.join(f'{layer}.{c}' for c in parts)}}}" for layer, parts in LAYERS.items()]
    body = [f"name {name}", f"help {quoted(about)}"]
    body += [f"{event} {quoted(script)}" for event, script in calls.items()]
    body += [f"tile_color {color}"]
    body += [line for knob in knobs for line in knob.lines()]
    return "\n".join([*head, "push $cut_paste_input", "Group {", *(f" {line}" for line in body), "}", ""]) + (
        graph.text() + "end_group\n"
    )


def swap(fields: Fields) -> str:
    """VfxSwap.gizmo."""
    knobs = [
        *swap_tab(fields), *blend_tab(fields), *output_tab(), *more_of_output(), *track_tab(fields), *train_tab(),
        *cache_tab(), *info_tab(fields),
    ]  # fmt: skip
    calls = {
        "onCreate": guarded("callbacks", "created(nuke.thisNode())", "pass"),
        "knobChanged": guarded("callbacks", "changed(nuke.thisNode(), nuke.thisKnob())", "pass"),
    }
    about = "Puts a consenting performer's face on another's. The swap is rendered into a cache; mix, relight, matte,"
    return gizmo("VfxSwap", about + " output and layers stay live.", "0x5c7a99ff", knobs, swap_graph(), calls=calls)


def comp_only(fields: Fields) -> str:
    """VfxSwapComp.gizmo."""
    knobs = [*blend_tab(fields), *output_tab()]
    knobs += [knob for knob in more_of_output() if knob.name in ("divider_color", "convert", "from_space", "to_space")]
    about = "Adds up the comp from the layers that vfxswap wrote (--layers ingredients). Needs no vfxswap."
    return gizmo("VfxSwapComp", about, "0x5c7a99ff", knobs, comp_graph(), calls={})


# ------------------------------------------------------------------------------------------------ live

TOLD = ("lids right", "lids left", "gaze right x", "gaze left x", "gaze right y", "gaze left y", "lips", "lips right",
        "lips left", "mouth", "upper lip", "corner right x", "corner left x", "corner right y", "corner left y",
        "brow right", "brow left", "inner brow right", "inner brow left", "jaw", "mouth aside", "pitch",
        "yaw")  # fmt: skip
"""What a network is told of the double's face; a test holds it against vfxswap's list."""


def told(name: str) -> str:
    """The knob of one of TOLD."""
    return "told_" + name.replace(" ", "_")


def live_tab(fields: Fields) -> list[Knob]:
    """The network, and where the face is."""
    return [
        tab("live", "Live"),
        text("model_info", "", "no model: take the gizmo that vfxswap export --to nuke-cat writes"),
        Knob(_LINK, "cat_file", "cat file", "The network, as make_cat.py makes it.", "T Inference1.modelFile"),
        Knob(_LINK, "use_gpu", "use GPU", "Run the network on the GPU where there is one.",
             "T Inference1.useGPUIfAvailable"),
        Knob(_LINK, "half", "half precision", "Half the memory, and faster; the face differs by less than can be seen.",
             "T Inference1.halfPrecision"),
        Knob(_INT, "size", "crop", "Side of the network's crop in pixels; it takes no other.", "+STARTLINE",
             value="128"),
        choice("encoding", "encoding", "What the network sees. It belongs to the model.", ["srgb", "acescct"]),
        text("divider_place", "", "<b>Where the face is</b>"),
        Knob(_FILE, "track", "track", fields.tip("track")),
        Knob(_FILE, "measurements", "measurements", "The .vfxshot of a run: exposure and placement. May be empty."),
        Knob(_STRING, "face", "face", fields.tip("face"), value="0"),
        button("take", "Take track", "Put keys on everything below, and on the Expression tab.", line=True),
        *(Knob(_XY, f"pin{i}", f"corner {i}", "Corner of the crop in the plate, from the bottom left"
               " counterclockwise.", value=value)
          for i, value in enumerate(("{0 0}", "{128 0}", "{128 128}", "{0 128}"), start=1)),
        number("shown", "shown", "0 where the face is not in the plate.", 0, 1, 1),
        number("gain", "exposure gain", "What the plate is multiplied with for the network: the double's median skin"
               " belongs at 0.18.", 0.01, 100, 1),
        text("divider_shown", "", "<b>Where the painted crop goes</b>, seen from the face"),
        number("place_x", "right", "In crop sides.", -0.2, 0.2, 0),
        number("place_y", "down", "In crop sides.", -0.2, 0.2, 0),
        number("place_scale", "scale", "1: as large as it was painted.", 0.8, 1.2, 1),
        number("place_turn", "turn", "In degrees, clockwise.", -10, 10, 0),
    ]  # fmt: skip


def expression_tab() -> list[Knob]:
    """What the double's face does, as the track measures it."""
    said = "What the track measures of the double's face, where the model wants to be told. Untouched: at rest."
    return [
        tab("expression", "Expression"),
        text("divider_told", "", "From the track; untouched, the network is told of a face at rest"),
        *(number(told(name), name, said, -1, 1, 0) for name in TOLD),
    ]


def live_blend_tab(fields: Fields) -> list[Knob]:
    """Knobs of the comp."""
    return [knob for knob in blend_tab(fields) if knob.name not in ("relight", "grain", "divider_live")]


def live_output_tab() -> list[Knob]:
    """What comes out, and colour."""
    shown = "comp: the plate with the face in it. face: premultiplied. matte: its coverage."
    return [
        tab("output_tab", "Output"),
        choice("show", "output", shown + " crop: what the network sees.", ["comp", "face", "matte", "crop"]),
        choice("out_alpha", "alpha", "Whose alpha the comp has.", ["plate", "face"]),
        text("divider_color", "", "<b>Colour</b>"),
        Knob(_BOOL, "convert", "convert", "The script's working space is another one than the network's linear space.",
             "+STARTLINE"),
        Knob(_LINK, "working_space", "working space", "The script's.", "T ToModel.in_colorspace"),
        Knob(_LINK, "model_space", "network's space", "Linear Rec.709 for srgb, ACEScg for acescct.",
             "T ToModel.out_colorspace"),
        Knob(_LINK, "back_from", "and back from", "The network's space again.", "T FromModel.in_colorspace"),
        Knob(_LINK, "back_to", "to", "The script's again.", "T FromModel.out_colorspace"),
        hidden(Knob(_INT, "vfxswap_live", value=str(SCHEMA))),
    ]  # fmt: skip


# The curves of vfxswap.color.encodings, sources there; breaks and slopes are OCIO's.
_ENCODE = (
    "clamp({v} > 0.0030399346 ? 1.055 * pow({v}, 1 / 2.4) - 0.055 : {v} * 12.9232102)",
    "clamp({v} > 0.0078125 ? (log({v}) / log(2) + 9.72) / 17.52 : {v} * 10.5402377 + 0.0729055342)",
)
_DECODE = (
    "({v} > 0.0392857143 ? pow(({v} + 0.055) / 1.055, 2.4) : {v} / 12.9232102)",
    "({v} > 0.1552511416 ? pow(2, {v} * 17.52 - 9.72) : ({v} - 0.0729055342) / 10.5402377)",
)


def curve(forms: tuple[str, str], value: str) -> str:
    """The curve of the gizmo's encoding."""
    srgb, acescct = (form.replace("{v}", value) for form in forms)
    return f"(parent.encoding == 0 ? {srgb} : {acescct})"


def pinned(way: str, other: str) -> list[str]:
    """Knobs of a CornerPin2D between the plate's corners and the crop's."""
    square = ("{0 0}", "{{parent.size} 0}", "{{parent.size} {parent.size}}", "{0 {parent.size}}")
    lines = [f"{way}{i} {{{{parent.pin{i}.x}} {{parent.pin{i}.y}}}}" for i in range(1, 5)]
    return [*lines, *(f"{other}{i} {corner}" for i, corner in enumerate(square, start=1))]


def live_graph() -> Graph:
    """Plate -> crop -> network -> plate."""
    graph = Graph()
    matte = entry(graph, "matte", 1, 495)
    plate = entry(graph, "plate", 0, -330)
    other = 'disable {{"!parent.convert"}}'
    face = graph.add(
        "OCIOColorSpace",
        "ToModel",
        [plate],
        (0, 70),
        "in_colorspace scene_linear",
        "out_colorspace scene_linear",
        other,
    )
    face = graph.add("CornerPin2D", "TakeCrop", [face], (0, 140), *pinned("from", "to"), "black_outside false")
    face = graph.add(
        "Crop", "CropFormat", [face], (0, 210), "box {0 0 {parent.size} {parent.size}}", "reformat true", "crop true"
    )
    coded = [f'expr{i} "{curve(_ENCODE, f"({c} * parent.gain)")}"' for i, c in enumerate("rgb")]
    seen = graph.add("Expression", "Encode", [face], (0, 280), *coded, "expr3 1")
    numbers = "".join(f"{told(name)}:{{parent.{told(name)}}};" for name in TOLD)
    face = graph.add(
        "Inference", "Inference1", [seen], (0, 360), 'modelFile ""', "useGPUIfAvailable true", "halfPrecision false",
        f"serialiseKnob {{{numbers}}}",
    )  # fmt: skip
    light = [f'expr{i} "{curve(_DECODE, c)} * pow(2, parent.face_exposure) / parent.gain"' for i, c in enumerate("rgb")]
    face = graph.add("Expression", "Decode", [face], (0, 440), *light, "expr3 a")
    face = graph.add(
        "OCIOColorSpace", "FromModel", [face], (0, 510), "in_colorspace scene_linear",
        "out_colorspace scene_linear", other,
    )  # fmt: skip
    face = graph.add(
        "Transform", "Place", [face], (0, 580), 'translate {{"parent.place_x * parent.size"} {"-parent.place_y *'
        ' parent.size"}}', 'rotate {{"-parent.place_turn"}}', "scale {{parent.place_scale}}",
        'center {{"parent.size / 2"} {"parent.size / 2"}}',
    )  # fmt: skip
    face = graph.add("CornerPin2D", "PutBack", [face], (0, 650), *pinned("to", "from"))
    before = graph.add("Dot", "FormatDot", [plate], (-165, 730))
    copied = [line for i, c in enumerate(("red", "green", "blue", "alpha"))
              for line in (f"from{i} rgba.{c}", f"to{i} rgba.{c}")]  # fmt: skip
    face = graph.add("Copy", "OnPlate", [before, face], (0, 730), *copied)
    face = graph.add("FilterErode", "TrimErode", [face], (0, 800), "channels alpha", "size {{parent.trim_erode}}")
    face = graph.add("Blur", "TrimBlur", [face], (0, 870), "channels alpha", "size {{parent.trim_blur}}")
    face = graph.add("Premult", "Premultiplied", [face], (0, 940))
    there = 'disable {{"!\\[exists parent.input1]"}}'
    matte = graph.add("Dot", "MatteDot", [matte], (495, 1020))
    face = graph.add("Copy", "MatteCopy", [face, matte], (0, 1020), "from0 rgba.alpha", "to0 mask.a", there)
    face = graph.add("Expression", "MatteLimit", [face], (0, 1090), *limited(), there)
    face = graph.add("Multiply", "Mix", [face], (0, 1160), "channels rgba", 'value {{"parent.mix * parent.shown"}}')
    over = graph.add("Merge2", "Over", [plate, face], (-330, 1240), "output rgb")
    comped = graph.add(
        "Copy", "FaceAlpha", [over, face], (-330, 1320), "from0 rgba.alpha", "to0 rgba.alpha",
        'disable {{"parent.out_alpha == 0"}}',
    )  # fmt: skip
    shown = graph.add("Expression", "ShowMatte", [face], (0, 1320), *(f"expr{i} a" for i in range(4)))
    aside = graph.add("Dot", "CropDot", [seen], (330, 280))
    crop = graph.add("Dot", "CropDownDot", [aside], (330, 1400))
    out = graph.add("Switch", "Show", [comped, face, shown, crop], (-330, 1400), "which {{parent.show}}")
    graph.add("Output", "Output1", [out], (-330, 1480))
    return graph


def live_only(fields: Fields) -> str:
    """VfxSwapLive.gizmo: without a network; `vfxswap export --to nuke-cat` fills in a model's."""
    knobs = [*live_tab(fields), *expression_tab(), *live_blend_tab(fields), *live_output_tab()]
    calls = {"onCreate": guarded("live", "created(nuke.thisNode())", "pass")}
    about = "Paints the face with Nuke's own Inference node, live: for a look. Without relight, grain and highlights:"
    return gizmo("VfxSwapLive", about + " finals are VfxSwap's.", "0x5c7a99ff", knobs, live_graph(), calls=calls)


def made() -> dict[str, str]:
    """File name -> text of every gizmo."""
    with open(os.path.join(ROOT, "docs", "schemas", "job.json"), encoding="utf-8") as file:
        fields = Fields(json.load(file))
    return {
        "VfxSwap.gizmo": swap(fields),
        "VfxSwapComp.gizmo": comp_only(fields),
        "VfxSwapLive.gizmo": live_only(fields),
    }


if __name__ == "__main__":
    for file_name, contents in made().items():
        with open(os.path.join(ROOT, "gizmos", file_name), "w", encoding="utf-8", newline="\n") as gizmo_file:
            gizmo_file.write(contents)
