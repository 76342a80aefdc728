# ruff: noqa: N802 - the names are Nuke's
"""A `nuke` whose surface is that of the package types-nuke: a call that the stub lacks, or that does not fit, fails.

Its behaviour is written by hand, for what our code does, with the traps that are documented: handing work to the main
thread from the main thread hangs (here: raises); the variant with a result swallows exceptions; a Write that fails
leaves files of no bytes; an execute can be cancelled on the way; a Python object of a node is made anew at each look
and outlives its node; a knob that does not exist is a NameError; an enumeration takes its own words only; Write rejects
backslashes; the script of a button runs inside its group, where other nodes are. It renders nothing: a Write copies
the files of the Read above it.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vfxswap.face.export import nk

from . import graph
from .surface import SURFACE, NotInStubError, fits, strict

# ------------------------------------------------------------------------------------------------- knobs


@strict
class Knob:
    kind = 0

    def __init__(self, owner: Data | str, name: str, value: Any = "") -> None:
        if isinstance(owner, str):  # made by a script: name and label; a node takes it over
            self._owner, self._name = Data.nobody(), owner
        else:
            self._owner, self._name = owner, name
        self._value = value
        self._enabled = True
        self._keys: dict[float, Any] = {}

    def setValueAt(self, val: Any, time: float, index: int = 0) -> bool:
        self._keys[time] = val
        return True

    def isAnimated(self, channel: int = 0) -> bool:
        return bool(self._keys)

    def name(self) -> str:
        return self._name

    def value(self, index: int = 0) -> Any:
        return self._value

    def setValue(self, val: Any, chan: int = 0) -> bool:
        self._store(val)
        return True

    def setEnabled(self, enabled: bool) -> None:
        self._enabled = enabled

    def enabled(self) -> bool:
        return self._enabled

    def _store(self, value: Any) -> None:
        self._owner.script.on_main_thread(f"{self._name}.setValue")
        before, self._value = self._value, value
        self._owner.script.record(self, before)
        self._owner.knob_changed(self)


@strict
class Array_Knob(Knob):  # noqa: N801
    pass


@strict
class Double_Knob(Array_Knob):  # noqa: N801
    def setValue(self, val: Any, chan: int = 0) -> bool:
        self._store(float(val))
        return True


@strict
class XY_Knob(Array_Knob):  # noqa: N801
    pass


@strict
class Int_Knob(Array_Knob):  # noqa: N801
    def setValue(self, val: Any, chan: int = 0) -> bool:
        if not isinstance(val, int):
            raise TypeError(f"{self._name} takes a whole number")
        self._store(int(val))
        return True


@strict
class Boolean_Knob(Array_Knob):  # noqa: N801
    def setValue(self, val: Any, chan: int = 0) -> bool:
        self._store(bool(val))
        return True


@strict
class Unsigned_Knob(Array_Knob):  # noqa: N801
    pass


@strict
class Enumeration_Knob(Unsigned_Knob):  # noqa: N801
    choices: tuple[str, ...] = ()

    def setValue(self, val: Any, chan: int = 0) -> bool:
        if self.choices and val not in [choice.split("\t")[0] for choice in self.choices]:
            raise TypeError(f"{self._name}: {val!r} is none of {self.choices}")
        self._store(val)
        return True

    def value(self, index: int = 0) -> Any:
        return str(self._value)

    def values(self) -> Any:
        return list(self.choices)


@strict
class String_Knob(Knob):  # noqa: N801
    def setValue(self, val: Any, chan: int = 0) -> bool:
        if not isinstance(val, str):
            raise TypeError(f"{self._name} takes text, got {val!r}")
        self._store(val)
        return True

    def value(self, index: int = 0) -> Any:
        return str(self._value)


@strict
class EvalString_Knob(String_Knob):  # noqa: N801
    def evaluate(self) -> str | None:
        return self._value or None  # None where there is nothing, not an empty text


@strict
class Multiline_Eval_String_Knob(EvalString_Knob):  # noqa: N801
    pass


@strict
class File_Knob(EvalString_Knob):  # noqa: N801
    def getEvaluatedValue(self) -> str | None:
        return self._value or None


@strict
class Text_Knob(Knob):  # noqa: N801
    def setValue(self, val: Any, chan: int = 0) -> bool:
        self._store(val)
        return True

    def value(self, index: int = 0) -> Any:
        return str(self._value)


@strict
class Script_Knob(String_Knob):  # noqa: N801
    def execute(self) -> None:
        self._owner.script.on_main_thread(f"{self._name}.execute")
        self._owner.executed.append(self._name)
        if self._name == "createCatFile":
            self._owner.script.make_cat(self._owner)
        if self._value:
            self._owner.script.call(str(self._value), self._owner, self)


@strict
class PyScript_Knob(Script_Knob):  # noqa: N801
    pass


@strict
class Link_Knob(Knob):  # noqa: N801
    pass


@strict
class Tab_Knob(Knob):  # noqa: N801
    pass


USER_KNOBS: dict[int, type] = {
    1: String_Knob,
    2: File_Knob,
    3: Int_Knob,
    4: Enumeration_Knob,
    6: Boolean_Knob,
    7: Double_Knob,
    12: XY_Knob,
    20: Tab_Knob,
    22: PyScript_Knob,
    26: Text_Knob,
    41: Link_Knob,
    43: Multiline_Eval_String_Knob,
}

# Class -> knobs with their defaults, as far as our code looks at them.
_KNOBS: dict[str, dict[str, Any]] = {
    "Read": {"file": "", "first": 1, "last": 1, "raw": False, "colorspace": "default", "frame": "",
             "frame_mode": "expression", "reload": None, "proxy": ""},
    "Write": {"file": "", "file_type": "", "channels": "rgb", "raw": False, "datatype": "16 bit half",
              "compression": "none", "create_directories": False, "autocrop": False},
    "STMap": {"uv": "none"},
    "Grade": {"multiply": 1.0},
    "Dot": {},
    "OCIOColorSpace": {"in_colorspace": "", "out_colorspace": ""},
    "CatFileCreator": {"torchScriptFile": "", "catFile": "", "channelsIn": "", "channelsOut": "", "modelId": "",
                       "outputScale": 1.0, "createCatFile": None},
}  # fmt: skip
_PLAIN = ("disable", "label", "tile_color", "createCatFile")
_SPACES = ("scene_linear", "ACEScg", "Linear Rec.709 (sRGB)")
_TYPES: dict[str, type] = {
    "file": File_Knob,
    "reload": Script_Knob,
    "colorspace": Enumeration_Knob,
    "proxy": File_Knob,
    "createCatFile": Script_Knob,
    "in_colorspace": Enumeration_Knob,
    "out_colorspace": Enumeration_Knob,
}


def _builtin(owner: Data, name: str, value: Any) -> Knob:
    by_value = {bool: Boolean_Knob, int: Int_Knob, float: Double_Knob}
    made: Knob = _TYPES.get(name, by_value.get(type(value), String_Knob))(
        owner, name, value if value is not None else ""
    )
    return made


# ------------------------------------------------------------------------------------------------- nodes


class Data:
    """A node as the program holds it; `Node` is Python's handle on it."""

    def __init__(self, script: FakeNuke, kind: str, name: str) -> None:
        self.script, self.kind, self.name = script, kind, name
        self.inputs: list[Data | None] = []
        self.children: list[Data] = []
        self.parent: Data | None = None
        self.alive = True
        self.selected = False
        self.text = ""
        self.executed: list[str] = []
        self.calls: dict[str, str] = {}
        self.knobs: dict[str, Knob] = {}
        for knob, value in {"disable": False, "label": "", "tile_color": 0, **_KNOBS.get(kind, {})}.items():
            self.knobs[knob] = _builtin(self, knob, value)

    @staticmethod
    def nobody() -> Data:
        """Whose knob it is while no node has it."""
        return Data(types.SimpleNamespace(), "", "")  # type: ignore[arg-type]

    def knob_changed(self, knob: Knob) -> None:
        if self.calls.get("knobChanged") and not self.script.in_callback:
            self.script.call(self.calls["knobChanged"], self, knob)

    def full_name(self) -> str:
        return self.name if self.parent is None else f"{self.parent.full_name()}.{self.name}"

    def handle(self) -> Node:
        made: Node = (Group if self.kind == "Group" else Node)(self)
        return made


@strict
class Node:
    def __init__(self, data: Data) -> None:
        self._found = data

    @property
    def _data(self) -> Data:
        if not self._found.alive:
            raise ValueError("A PythonObject is not attached to a node")
        return self._found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self._found is other._found

    def __hash__(self) -> int:
        return hash(id(self._found))

    def Class(self) -> str:
        return self._data.kind

    def name(self) -> str:
        return self._data.name

    def fullName(self) -> str:
        return self._data.full_name()

    def setName(self, name: str, uncollide: bool = True, updateExpressions: bool = False) -> None:
        self._data.name = self._data.script.free(name)

    def knob(self, p: str | int, follow_link: bool = True) -> Knob | None:
        return self._data.knobs.get(str(p))

    def knobs(self) -> dict[str, Knob]:
        return dict(self._data.knobs)

    def __getitem__(self, name: str) -> Knob:
        if name not in self._data.knobs:
            raise NameError(f"knob {name} does not exist")
        return self._data.knobs[name]

    def input(self, index: int) -> Node | None:
        there = self._data.inputs
        found = there[index] if index < len(there) else None
        return None if found is None else found.handle()

    def inputs(self) -> int:
        return len(self._data.inputs)

    def setInput(self, i: int, node: Node | None) -> bool:
        data = self._data
        data.inputs += [None] * (i + 1 - len(data.inputs))
        data.inputs[i] = None if node is None else node._data
        if data.calls.get("knobChanged"):
            data.script.call(data.calls["knobChanged"], data, Knob(data, "inputChange"))
        return True

    def frameRange(self) -> FrameRange:
        data: Data | None = self._data
        while data is not None and data.kind != "Read":
            data = data.inputs[0] if data.inputs else None
        first, last = (1, 100) if data is None else (data.knobs["first"].value(), data.knobs["last"].value())
        made: FrameRange = FrameRange(first, last, 1)
        return made

    def width(self) -> int:
        return 960

    def height(self) -> int:
        return 540

    def metadata(self, key: str, time: float | None = None) -> Any:
        script = self._data.script
        return script.metadata(self._data, key, script.now if time is None else int(time))

    def writeKnobs(self, flags: int = 0) -> str:
        data = self._data
        return "\n".join(f"{name} {knob._value}" for name, knob in data.knobs.items()) + f"\nxpos 1\nname {data.name}"

    def readKnobs(self, s: str) -> None:
        for name, value in nk.commands(s):
            knob = self[name.text]
            found = [nk.number_or_curve(word) for word in (nk.words(value.text) if value.braced else [value])]
            self._data.script.record(knob, knob._value)
            curves = [one for one in found if isinstance(one, dict)]
            if curves:
                values = {f: tuple(one[f] for one in curves) for f in sorted(curves[0])}
                knob._keys = {f: some if len(curves) > 1 else some[0] for f, some in values.items()}
            else:
                knob._value = found[0]

    def addKnob(self, knob: Knob) -> None:
        knob._owner = self._data
        self._data.knobs[knob._name] = knob

    def setSelected(self, selected: bool) -> None:
        self._data.selected = selected

    def parent(self) -> Node:
        found = self._data.parent
        return Root(self._data.script.root) if found is None else found.handle()


@strict
class Group(Node):
    def __enter__(self) -> Group:
        self._data.script.context.append(self._data)
        return self

    def __exit__(self, *given: object) -> None:
        self._data.script.context.pop()

    def node(self, s: str) -> Node | None:
        return next((one.handle() for one in self._data.children if one.name == s), None)

    def nodes(self) -> list[Node]:
        return [one.handle() for one in self._data.children]


@strict
class Root(Group):
    def proxy(self) -> bool:
        return self._data.script.proxy

    def firstFrame(self) -> int:
        return 1001

    def lastFrame(self) -> int:
        return 1002


@strict
class FrameRange:
    def __init__(self, first: int, last: int, step: int) -> None:
        self._first, self._last = first, last

    def first(self) -> int:
        return self._first

    def last(self) -> int:
        return self._last


class NodeConstructor:
    def __init__(self, script: FakeNuke, kind: str) -> None:
        self._script, self._kind = script, kind

    def __call__(self, *, inputs: list[Node] | tuple[Node, ...] = (), **knobs: Any) -> Node:
        self._script.on_main_thread(f"nodes.{self._kind}")
        if self._kind not in _KNOBS:
            raise NotImplementedError(f"nodes of class {self._kind} are not faked")
        data = self._script.add(Data(self._script, self._kind, self._script.free(f"{self._kind}1")))
        for name, value in knobs.items():
            if name not in data.knobs:
                raise NameError(f"knob {name} does not exist")
            if name == "file" and "\\" in value:
                raise RuntimeError("backslashes in a file name")
            data.knobs[name].setValue(value)
        handle = data.handle()
        for i, one in enumerate(inputs):
            handle.setInput(i, one)
        return handle


# ---------------------------------------------------------------------------------------------- the rest


def _offers(fake: FakeNuke) -> dict[str, type]:
    """Classes that talk to the program."""

    @strict
    class ProgressTask:
        def __init__(self, title: str) -> None:
            fake.tasks.append(self)
            self.said: list[tuple[str, Any]] = []

        def isCancelled(self) -> bool:
            return fake.pressed_cancel

        def setMessage(self, text: str) -> None:
            self.said.append(("message", text))

        def setProgress(self, percent: int) -> None:
            if not (isinstance(percent, int) and 0 <= percent <= 100):
                raise TypeError(f"setProgress({percent!r})")
            self.said.append(("progress", percent))

    @strict
    class Panel:
        def __init__(self, title: str) -> None:
            self._answers: dict[str, str] = {}

        def _add(self, name: str, value: str) -> None:
            self._answers[name] = fake.answers.get(name, value.split()[0] if value else "")

        def addFilenameSearch(self, name: str, value: str) -> None:
            self._add(name, value)

        def addEnumerationPulldown(self, name: str, value: str) -> None:
            self._add(name, value)

        def addSingleLineInput(self, name: str, value: str) -> None:
            self._add(name, value)

        def addButton(self, name: str) -> None:
            pass

        def show(self) -> int:
            return int(bool(fake.answers))

        def value(self, name: str) -> str:
            return self._answers[name]

    @strict
    class Undo:
        @classmethod
        def name(cls, text: str) -> None:
            pass

        @classmethod
        def begin(cls) -> None:
            fake.steps.append([])
            fake.open_step = True

        @classmethod
        def end(cls) -> None:
            fake.open_step = False

        @classmethod
        def disable(cls) -> None:
            fake.undo_off += 1

        @classmethod
        def enable(cls) -> None:
            fake.undo_off -= 1

    class CancelledError(Exception):
        pass

    return {"ProgressTask": ProgressTask, "Panel": Panel, "Undo": Undo, "CancelledError": CancelledError}


@strict
class Menu:
    def __init__(self) -> None:
        self._entries: dict[str, Any] = {}

    def addMenu(self, name: str) -> Menu:
        made: Menu = self._entries.setdefault(name, Menu())
        return made

    def addCommand(self, name: str, command: str) -> None:
        self._entries[name] = command


class FakeNuke:
    """One run of Nuke, with what a test may set and look at."""

    def __init__(self, *, gizmos: Path, gui: bool = True) -> None:
        self.gizmos, self.gui = gizmos, gui
        self.messages: list[str] = []
        self.printed: list[str] = []
        self.tasks: list[Any] = []
        self.answers: dict[str, str] = {}
        self.steps: list[list[tuple[Knob, Any]]] = []
        self.undo_off = 0
        self.nukex = True
        self.open_step = False
        self.pressed_cancel = False
        self.in_callback = False
        self.proxy = False
        self.says_yes = True
        self.now = 1004
        self.view_names = ["main"]
        self.empty_frames: set[int] = set()
        self.cancel_at: int | None = None
        self.executed: list[tuple[int, int, list[str]]] = []
        self.paths: list[str] = []
        self.closing: list[Callable[[], None]] = []
        self.spaces: dict[str, str] = {}
        self.menus: dict[str, Menu] = {"Nodes": Menu()}
        self._queue: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._main = threading.get_ident()
        self._this: tuple[Data, Knob] | None = None
        self.root = Data(self, "Root", "Root")
        self.context = [self.root]
        self.nodes = self.root.children
        settings = {"colorManagement": "Nuke", "OCIO_config": "nuke-default", "workingSpaceLUT": "linear", "name": ""}
        for name, value in settings.items():
            self.root.knobs[name] = String_Knob(self.root, name, value)
        for name in ("customOCIOConfigPath", "OCIOConfigPath"):
            self.root.knobs[name] = File_Knob(self.root, name, "")
        self.module = self._module()

    # ----------------------------------------------------------------------------------- the program

    def on_main_thread(self, what: str) -> None:
        if threading.get_ident() != self._main:
            raise RuntimeError(f"{what} on a thread: Nuke would crash")

    def pump(self, until: Callable[[], bool], seconds: float = 60.0) -> None:
        """Run what threads handed to the main thread, as Nuke's event loop does."""
        import time

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while self._queue:
                function, args = self._queue.pop(0)
                function(*args)
            if until():
                return
            time.sleep(0.02)
        raise TimeoutError("nothing came")

    def record(self, knob: Knob, before: Any) -> None:
        if not self.undo_off and self.gui:
            if not self.open_step:
                self.steps.append([])
            self.steps[-1].append((knob, before))

    def undo(self) -> None:
        """What Ctrl-Z does."""
        for knob, before in reversed(self.steps.pop()):
            knob._value = before

    def free(self, name: str) -> str:
        """A name nobody has."""
        base, taken = re.sub(r"\d+$", "", name), {node.name for node in self.nodes}
        return next(one for one in (f"{base}{i}" for i in range(1, 999)) if one not in taken)

    def add(self, data: Data) -> Data:
        here = self.context[-1]
        here.children.append(data)
        data.parent = None if here is self.root else here
        return data

    def call(self, code: str, node: Data, knob: Knob) -> None:
        """Run a script of a node with nuke.thisNode() and nuke.thisKnob()."""
        before, self._this = (self._this, self.in_callback), (node, knob)
        self.in_callback = True
        self.context.append(node)
        try:
            exec(compile(code, "script of a knob", "exec"), {"nuke": self.module})
        finally:
            self.context.pop()
            self._this, self.in_callback = before

    def create(self, name: str, *, like: Data | None = None) -> Node:
        """A node of a gizmo's file; `like`: with another one's values, as a paste has."""
        group, _ = graph.gizmo(self.gizmos / f"{name}.gizmo")
        data = Data(self, "Group", self.free(f"{name}1"))
        self.nodes.append(data)
        data.calls = {event: group.value(event) for event in ("onCreate", "knobChanged")}
        for knob in group.user.values():
            made = USER_KNOBS[knob.kind](data, knob.name, _first(knob, group.value(knob.name)))
            if isinstance(made, Enumeration_Knob):
                made.choices = knob.choices
            data.knobs[knob.name] = made
        for child in group.children:
            inside = Data(self, child.kind, child.name)
            inside.parent = data
            for knob_name in ("in_colorspace", "out_colorspace"):
                if child.kind == "OCIOColorSpace":
                    inside.knobs[knob_name]._value = child.value(knob_name)
                    inside.knobs[knob_name].choices = _SPACES  # type: ignore[attr-defined]
            data.children.append(inside)
        if like is not None:
            for knob_name, knob_value in like.knobs.items():
                data.knobs[knob_name]._value = knob_value._value
        if data.calls["onCreate"]:
            self.call(data.calls["onCreate"], data, next(iter(data.knobs.values())))
        return data.handle()

    def copy_paste(self, node: Node) -> Node:
        """Ctrl-C, Ctrl-V."""
        return self.create("VfxSwap", like=node._data)

    def make_cat(self, creator: Data) -> None:
        """What CatFileCreator's button does: nothing at all without NukeX."""
        if self.nukex:
            told = {name: knob.value() for name, knob in creator.knobs.items() if name not in _PLAIN}
            Path(told["catFile"]).write_text(json.dumps(told))

    def remove(self, data: Data) -> None:
        data.alive = False
        (self.root if data.parent is None else data.parent).children.remove(data)

    def metadata(self, data: Data, key: str, frame: int) -> Any:
        """Of an EXR in the cache: what a Read shows with the prefix exr/; nothing where there is no frame."""
        import OpenEXR

        pattern = data.parent.knobs["cache_file"].value() if data.parent else ""
        path = Path(_expand(pattern, frame, self.view_names[0])) if pattern else Path("none")
        if not path.is_file():
            return None
        with OpenEXR.File(str(path), header_only=True) as file:
            return file.header().get(key.removeprefix("exr/"))

    # ------------------------------------------------------------------------------------ the module

    def _module(self) -> types.ModuleType:
        fake = self
        module = types.ModuleType("nuke")
        offered = {cls.__name__: cls for cls in (Node, Group, Root, FrameRange, Knob, *_every_knob())} | _offers(self)
        for name, cls in offered.items():
            if name not in SURFACE.methods:
                raise NotInStubError(name)
            setattr(module, name, cls)
        for name in dir(self):
            if name.startswith("_do_"):
                module.__dict__[name[4:]] = self._function(name[4:])

        class Nodes:
            def __getattr__(self, kind: str) -> NodeConstructor:
                return NodeConstructor(fake, kind)

        values = {"GUI": self.gui, "NUKE_VERSION_STRING": "15.1v3", "TO_SCRIPT": 1, "nodes": Nodes(), "INPUTS": 1}
        for name, value in values.items():
            if name not in SURFACE.names:
                raise NotInStubError(name)
            setattr(module, name, value)

        def missing(name: str) -> Any:
            if name in SURFACE.functions or name in SURFACE.methods or name in SURFACE.names:
                raise NotImplementedError(f"nuke.{name} is not faked") if not name.startswith("__") else AttributeError
            raise AttributeError(f"types-nuke: nuke has no {name}")

        module.__getattr__ = missing  # type: ignore[method-assign]
        return module

    def _function(self, name: str) -> Callable[..., Any]:
        if name not in SURFACE.functions:
            raise NotInStubError(name)
        inner, declared = getattr(self, f"_do_{name}"), SURFACE.functions[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            fits(declared, name, args, kwargs)
            return inner(*args, **kwargs)

        return call

    def _do_root(self) -> Node:
        root: Node = Root(self.root)
        return root

    def _do_message(self, prompt: str) -> None:
        self.on_main_thread("message")
        if not self.gui:
            raise RuntimeError("no dialogs in a terminal")
        self.messages.append(prompt)

    def _do_ask(self, prompt: str) -> bool:
        self.on_main_thread("ask")
        self.messages.append(prompt)
        return self.says_yes

    def _do_tprint(self, *args: Any) -> None:
        self.printed.append(" ".join(map(str, args)))

    def _do_views(self) -> list[str]:
        return list(self.view_names)

    def _do_frame(self) -> int:
        return self.now

    def _do_thisNode(self) -> Node:
        assert self._this is not None
        return self._this[0].handle()

    def _do_thisKnob(self) -> Knob:
        assert self._this is not None
        return self._this[1]

    def _do_allNodes(self, *, group: Node | None = None, recurseGroups: bool = False) -> list[Node]:
        found = list((self.context[-1] if group is None else group._data).children)
        if recurseGroups:
            found += [inner for node in found for inner in node.children]
        return [node.handle() for node in found]

    def _do_selectedNodes(self) -> list[Node]:
        return [node.handle() for node in self.context[-1].children if node.selected]

    def _do_toNode(self, name: str) -> Node | None:
        return next((node.handle() for node in self.nodes if node.name == name), None)

    def _do_createNode(self, typ: str, knobs: str = "", inpanel: bool = True) -> Node:
        if typ in _KNOBS:
            return self.add(Data(self, typ, self.free(f"{typ}1"))).handle()
        return self.create(typ)

    def _do_delete(self, n: Node | None) -> None:
        self.on_main_thread("delete")
        if n is not None:
            self.remove(n._data)

    def _do_filename(self, node: Node, i: int = 0) -> str | None:
        return str(node["file"].value()) or None

    def _do_pluginAddPath(self, path: str) -> None:
        self.paths.append(path)

    def _do_menu(self, name: str) -> Menu:
        return self.menus[name]

    def _do_addOnScriptClose(self, call: Callable[[], None]) -> None:
        self.closing.append(call)

    def _do_scriptOpen(self, filename: str) -> None:
        if not Path(filename).is_file():
            raise RuntimeError(f"{filename} does not exist")

    def _do_scriptSave(self, filename: str = "") -> bool:
        return True

    def _do_executeInMainThread(self, call: Callable[..., Any], args: Any = (), kwargs: Any = None) -> None:
        if threading.get_ident() == self._main:
            raise RuntimeError("executeInMainThread on the main thread: Nuke would hang")
        self._queue.append((call, args if isinstance(args, tuple) else (args,)))

    def _do_executeInMainThreadWithResult(self, call: Callable[..., Any], args: Any = (), kwargs: Any = None) -> Any:
        if threading.get_ident() == self._main:
            raise RuntimeError("executeInMainThreadWithResult on the main thread: Nuke would hang")
        try:
            return call(*args)
        except Exception:  # noqa: BLE001 - what the real one does
            return None

    def _do_nodePaste(self, path: str) -> Node | None:
        self.on_main_thread("nodePaste")
        last = None
        for found in nk.parse(Path(path).read_text()):
            data = self.add(Data(self, found.kind, self.free(found.text("name") or found.kind)))
            data.text = Path(path).read_text()
            last = data.handle()
        return last

    def _do_nodeCopy(self, path: str) -> None:
        Path(path).write_text("".join(node.text for node in self.context[-1].children if node.selected))

    def _do_execute(
        self, node: Node, first: int, last: int, incr: int, views: list[str], continueOnError: bool = False
    ) -> None:
        """Copies the plate's files, as an export of an unchanged picture would come out."""
        self.on_main_thread("execute")
        data, source = node._data, node._data.inputs[0]
        while source is not None and source.kind != "Read":
            source = source.inputs[0]
        assert source is not None
        if data.parent is not source.parent:
            raise RuntimeError("the Write is in another group than what it is connected to")
        self.executed.append((first, last, list(views)))
        for frame, view in _each(first, last, incr, views):
            target = Path(_expand(str(data.knobs["file"].value()), frame, view))
            if data.knobs["create_directories"].value():
                target.parent.mkdir(parents=True, exist_ok=True)
            if frame == self.cancel_at:
                target.with_name(target.name + ".tmp").write_bytes(b"half")
                raise RuntimeError("Cancelled")
            if frame in self.empty_frames:
                target.write_bytes(b"")
                continue
            shutil.copyfile(_expand(str(source.knobs["file"].value()), frame, view), target)


def _every_knob() -> Iterator[type]:
    yield from [*USER_KNOBS.values(), Array_Knob, Unsigned_Knob, EvalString_Knob, Script_Knob]


def _first(knob: graph.UserKnob, value: str) -> Any:
    """The value that a knob begins with."""
    if knob.kind == 3:
        return int(value or 0)
    if knob.kind == 7:
        return float(value or 0)
    if knob.kind == 6:
        return value == "true"
    if knob.kind == 12:
        return tuple(map(float, value.split()))
    if knob.kind == 4:
        return value or knob.choices[0]
    return knob.text if knob.kind in (22, 26) else value


def _each(first: int, last: int, step: int, views: list[str]) -> Iterator[tuple[int, str]]:
    for frame in range(first, last + 1, step):
        for view in views:
            yield frame, view


def _expand(pattern: str, frame: int, view: str) -> str:
    return pattern.replace("%V", view) % frame


def install(fake: FakeNuke) -> None:
    """Make `import nuke` give the fake, and have our modules read anew."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("vfxswap_nuke", "nuke")]:
        del sys.modules[name]
    sys.modules["nuke"] = fake.module


def uninstall() -> None:
    """Forget the fake and what was imported with it."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("vfxswap_nuke", "nuke")]:
        del sys.modules[name]
