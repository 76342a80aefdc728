"""The window, made with Fusion's UIManager."""

from __future__ import annotations

from typing import Any

from vfxswap_bridge import BridgeError
from vfxswap_resolve import api
from vfxswap_resolve.clips import SCOPES
from vfxswap_resolve.front import FIELDS, shown, taken
from vfxswap_resolve.settings import ACTIONS, Settings

_CHOICES = {"action": ACTIONS, "scope": SCOPES, "device": ("auto", "cpu", "cuda")}

_ID = "VfxSwapWindow"


class Window:
    """One window for the form, the questions and the progress.

    Args:
        fusion: Resolve's Fusion object.
        dispatcher_class: `bmd.UIDispatcher`.
    """

    def __init__(self, fusion: Any, dispatcher_class: Any) -> None:
        self._ui = fusion.UIManager
        self._loop = dispatcher_class(self._ui)
        self._stopped = False
        self._pressed = ""
        self._said: list[str] = []
        self._window = self._loop.AddWindow(
            {"ID": _ID, "WindowTitle": "vfxswap", "Geometry": [200, 200, 640, 520]}, [self._form()]
        )
        self._items = self._window.GetItems()
        for name, choices in _CHOICES.items():
            self._items[name].AddItems(list(choices))
        for button in ("run", "cancel", "answer"):
            getattr(self._window.On, button).Clicked = self._press
        getattr(self._window.On, _ID).Close = self._close
        self._ask(visible=False)
        self._window.Show()

    def _form(self) -> Any:
        ui = self._ui
        rows = []
        for name, label in FIELDS:
            entry = (
                ui.ComboBox({"ID": name, "Weight": 2}) if name in _CHOICES else ui.LineEdit({"ID": name, "Weight": 2})
            )
            rows.append(ui.HGroup({"Weight": 0}, [ui.Label({"Text": label, "Weight": 1, "WordWrap": True}), entry]))
        question = ui.HGroup({"Weight": 0}, [
            ui.Label({"ID": "asked", "Weight": 2, "WordWrap": True}), ui.LineEdit({"ID": "answered", "Weight": 1}),
            ui.Button({"ID": "answer", "Text": "Answer", "Weight": 0}),
        ])  # fmt: skip
        buttons = ui.HGroup({"Weight": 0}, [
            ui.Label({"ID": "status", "Weight": 1}), ui.Button({"ID": "cancel", "Text": "Cancel", "Weight": 0}),
            ui.Button({"ID": "run", "Text": "Run", "Weight": 0}),
        ])  # fmt: skip
        said = ui.TextEdit({"ID": "said", "ReadOnly": True, "Weight": 1})
        return ui.VGroup([*rows, question, said, buttons])

    def settings(self, last: Settings) -> Settings | None:
        """Fill the form in and wait for Run; None: closed or cancelled."""
        for name, _ in FIELDS:
            if name in _CHOICES:
                choices = _CHOICES[name]
                value = shown(last, name)
                self._items[name].CurrentIndex = choices.index(value) if value in choices else 0
            else:
                self._items[name].Text = shown(last, name)
        while True:
            self._pressed = ""
            self._loop.RunLoop()
            if self._pressed != "run":
                return None
            said = {
                name: _CHOICES[name][int(self._items[name].CurrentIndex)]
                if name in _CHOICES
                else self._items[name].Text
                for name, _ in FIELDS
            }
            try:
                found = taken(last, said)
                found.check()
            except BridgeError as error:
                self.tell(str(error))
                continue
            self._items["run"].Enabled = False
            return found

    def question(self, key: str, asked: str) -> str:
        """Show a question and wait for its answer."""
        self._items["asked"].Text = asked
        self._items["answered"].Text = ""
        self._ask(visible=True)
        self._pressed = ""
        self._loop.RunLoop()
        self._ask(visible=False)
        return str(self._items["answered"].Text).strip() if self._pressed == "answer" else ""

    def watch(self, what: str, done: int, total: int) -> bool:
        """Show how far it is, and let buttons be pressed meanwhile."""
        self._items["status"].Text = f"{what} {done}/{total}" if total else what
        if api.offers(self._loop, "StepLoop"):
            self._loop.StepLoop()
        return not self._stopped

    def tell(self, said: str) -> None:
        """A line in the window."""
        self._said.append(said)
        self._items["said"].PlainText = "\n".join(self._said)

    def close(self) -> None:
        """Let the artist read, then close."""
        self._items["status"].Text = "done: close the window"
        if not self._stopped:
            self._loop.RunLoop()
        self._window.Hide()

    def _ask(self, *, visible: bool) -> None:
        for name in ("asked", "answered", "answer"):
            self._items[name].Visible = visible

    def _press(self, event: Any) -> None:
        self._pressed = str(event["who"])
        if self._pressed == "cancel":
            self._stopped = True
        self._loop.ExitLoop()

    def _close(self, event: Any) -> None:
        self._stopped = True
        self._pressed = "close"
        self._loop.ExitLoop()
