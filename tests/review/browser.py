"""A real browser for tests: headless Chromium, told what to do over the DevTools protocol through a pair of pipes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
_PATIENCE = 60.0


class Browser:
    """One page."""

    def __init__(self, process: subprocess.Popen[bytes], told: int, heard: int) -> None:
        self._process, self._told, self._heard = process, told, heard
        self._number, self._rest = 0, b""
        self._session: str | None = None
        self.complaints: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.requests: list[str] = []

    def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": arguments}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._told, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + _PATIENCE
        while True:
            for found in self._messages(until):
                if found.get("id") == self._number:
                    if "error" in found:
                        raise AssertionError(f"{method}: {found['error']}")
                    return dict(found["result"])

    def _messages(self, until: float) -> Iterator[dict[str, Any]]:
        ready, _, _ = select.select([self._heard], [], [], max(0.0, until - time.monotonic()))
        if not ready or self._process.poll() is not None:
            raise AssertionError("the browser does not answer")
        *whole, self._rest = (self._rest + os.read(self._heard, 1 << 20)).split(b"\0")
        for text in whole:
            found = json.loads(text)
            self._note(found)
            yield found

    def _note(self, found: dict[str, Any]) -> None:
        method, values = found.get("method"), found.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(values["exceptionDetails"].get("exception", {}).get("description", "?"))
        if method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning"):
            self.complaints.append(str([one.get("value") for one in values["args"]]))
        if method == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.complaints.append(values["entry"]["text"])
        if method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"][:80])

    def open(self, page: Path, *, width: int = 1280, height: int = 900, hash_: str = "") -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Page.navigate", url="about:blank")  # another hash alone would load nothing
        self.wait("location.href == 'about:blank' && document.readyState == 'complete'")
        self.ask("Page.navigate", url=page.resolve().as_uri() + hash_)
        self.wait("location.protocol == 'file:'")
        self.wait("document.readyState == 'complete' && document.body.dataset.shown && document.body.dataset.ready")

    def run(self, script: str) -> Any:
        """The value of an expression; promises are waited for."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"]["exception"]["description"])
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        until = time.monotonic() + _PATIENCE
        while not self.run(f"Boolean(document.body && {condition})"):
            assert time.monotonic() < until, f"never came true: {condition}"
            time.sleep(0.02)

    def settle(self) -> None:
        """Until the picture of the frame that was asked for is on the canvas."""
        self.wait("document.body.dataset.shown == document.body.dataset.frame")
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def key(self, code: str, *, shift: bool = False) -> None:
        letter = code.removeprefix("Key").lower() if code.startswith("Key") else code.removeprefix("Digit")
        named = {"Space": " "}.get(code, letter)
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, code=code, key=named, modifiers=8 if shift else 0)
        self.settle()

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """x, y, width, height on the screen, scrolled into it."""
        script = (
            f"const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'nearest'}});"
            " const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height];"
        )
        x, y, width, height = self.run(f"(() => {{ {script} }})()")
        return x, y, width, height

    def mouse(self, kind: str, x: float, y: float, *, buttons: int = 0) -> None:
        button = "left" if kind != "mouseMoved" else "none"
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=buttons, clickCount=1)

    def click(self, selector: str, *, across: float = 0.5, down: float = 0.5) -> None:
        self.drag(selector, [(across, down)])

    def drag(self, selector: str, way: Sequence[tuple[float, float]]) -> None:
        """Press at the first place, in parts of the element's box, and let go at the last."""
        x, y, width, height = self.box(selector)
        points = [(x + a * width, y + b * height) for a, b in way]
        self.mouse("mousePressed", *points[0], buttons=1)
        for point in points[1:]:
            self.mouse("mouseMoved", *point, buttons=1)
        self.mouse("mouseReleased", *points[-1])
        self.settle()

    def screenshot(self, path: Path | None = None, *, whole: bool = False) -> np.ndarray:
        """(H, W, 3) uint8 RGB of what is seen, or of the whole page."""
        data = base64.b64decode(self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])
        if path is not None:
            path.write_bytes(data)
        return _decoded(data)

    def canvas(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the picture at its own size."""
        text = self.run("document.getElementById('picture').toDataURL('image/png').split(',')[1]")
        return _decoded(base64.b64decode(text))

    def said(self, name: str) -> str:
        return str(self.run(f"document.body.dataset.{name}"))


def _decoded(png: bytes) -> np.ndarray:
    picture = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR))
    return np.ascontiguousarray(picture[..., ::-1])


@contextlib.contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser of its own, gone afterwards."""
    assert CHROMIUM is not None
    (told_out, told_in), (heard_out, heard_in) = os.pipe(), os.pipe()
    flags = (
        "--headless=new --no-sandbox --disable-dev-shm-usage --no-first-run --hide-scrollbars --mute-audio"
        " --use-angle=swiftshader --enable-unsafe-swiftshader --force-color-profile=srgb --remote-debugging-pipe"
    )
    # The browser takes its orders on descriptor 3 and answers on 4.
    command = f'exec "$0" "$@" 3<&{told_out} 4>&{heard_in}'
    process = subprocess.Popen(
        ["bash", "-c", command, CHROMIUM, *flags.split(), f"--user-data-dir={profile}"],
        pass_fds=(told_out, heard_in),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(told_out)
    os.close(heard_in)
    try:
        browser = Browser(process, told_in, heard_out)
        yield browser
        with contextlib.suppress(AssertionError, OSError):
            browser._session = None
            browser.ask("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        os.close(told_in)
        os.close(heard_out)
