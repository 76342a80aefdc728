"""C2PA inside of copies to look at: there, about the right sequence, spoilt by any change, and fetched from nowhere."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vfxswap import marks, provenance
from vfxswap.errors import UsageError
from vfxswap.provenance import sidecar

from .made import Office

c2pa: Any = pytest.importorskip("c2pa", reason="c2pa-python is not installed")


def sheet(folder: Path) -> Path:
    path = folder / "sheet.png"
    path.write_bytes(marks.altered_png(np.random.default_rng(5).integers(0, 256, (60, 90, 3), np.uint8)))
    return path


def movie(folder: Path) -> Path:
    path = folder / "review.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 24.0, (96, 64))
    for level in range(0, 250, 10):
        writer.write(np.full((64, 96, 3), level, np.uint8))
    writer.release()
    if not path.exists():
        pytest.skip("this OpenCV writes no MP4")
    return path


def picture(path: Path) -> Any:
    """All pixels of a picture or a movie."""
    if path.suffix != ".mp4":
        return cv2.imread(str(path))
    reader, frames = cv2.VideoCapture(str(path)), []
    while (read := reader.read())[0]:
        frames.append(read[1])
    return np.stack(frames)


def read(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The active C2PA manifest of a file, and what is wrong with it."""
    with c2pa.Reader(path.name.rpartition(".")[2], io.BytesIO(path.read_bytes()), context=sidecar.context()) as reader:
        store, found = json.loads(reader.json()), reader.get_validation_results()
    return store["manifests"][store["active_manifest"]], [one["code"] for one in found["activeManifest"]["failure"]]


@pytest.mark.parametrize("make", [sheet, movie])
def test_a_copy_says_what_it_shows_and_keeps_its_pixels(out: Path, office: Office, tmp_path: Path, make: Any):
    path = make(tmp_path)
    before, mode = picture(path), path.stat().st_mode
    signed = out / "out.provenance.json"
    assert provenance.embed(path, shows=[signed], sign=lambda: office.farm) == ""
    np.testing.assert_array_equal(picture(path), before)
    assert path.stat().st_mode == mode
    said, wrong = read(path)
    assert wrong == ["signingCredential.untrusted"]
    assert said["signature_info"]["common_name"] == office.farm.kid
    told = {one["label"]: one["data"] for one in said["assertions"]}
    (action,) = told["c2pa.actions.v2"]["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", marks.SOURCE_TYPE)
    (sequence,) = told["org.vfxswap.provenance"]["sequences"]
    predicate = provenance.read_manifest(signed).statement.predicate
    assert sequence["manifest"]["sha256"] == hashlib.sha256(signed.read_bytes()).hexdigest()
    assert sequence["frames"] == "1001-1004"
    assert [model["sha256"] for model in sequence["models"]] == [model.sha256 for model in predicate.made[0].models]
    assert sequence["consents"] == sorted(consent.id for consent in predicate.made[0].consents)


@pytest.mark.parametrize("make", [sheet, movie])
def test_a_copy_that_was_changed_is_found(office: Office, tmp_path: Path, make: Any):
    path = make(tmp_path)
    assert provenance.embed(path, sign=lambda: office.farm) == ""
    data = bytearray(path.read_bytes())
    # A byte of the pixels: they are the last large block of the PNG, and the first after `mdat` of the MP4.
    at = data.rindex(b"IDAT") + 30 if path.suffix == ".png" else data.index(b"mdat") + 40
    data[at] ^= 1
    path.write_bytes(data)
    assert any("mismatch" in code for code in read(path)[1])


def test_the_mark_stays_in_the_metadata(office: Office, tmp_path: Path):
    path = sheet(tmp_path)
    assert provenance.embed(path, sign=lambda: office.farm) == ""
    data, at, kinds = path.read_bytes(), 8, []
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kinds.append(data[at + 4 : at + 8])
        at += size + 12
    assert kinds[:4] == [b"IHDR", b"caBX", b"tEXt", b"iTXt"]


def test_what_cannot_hold_it_stays_as_it_was_and_says_why(
    office: Office, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page, text, good = tmp_path / "page.html", tmp_path / "no.png", sheet(tmp_path)
    page.write_text(marks.HTML)
    text.write_text("this is no picture")
    whole = good.read_bytes()

    def no_key() -> Any:
        raise UsageError("the key is damaged")

    def farm() -> Any:
        return office.farm

    assert provenance.embed(page, sign=farm) == ".html files cannot hold C2PA"
    assert provenance.embed(text, sign=farm).startswith("c2pa could not be put into no.png: ")
    assert "the key is damaged" in provenance.embed(good, sign=no_key)
    assert "there is no manifest" in provenance.embed(good, shows=[out / "x.provenance.json"], sign=farm)
    assert provenance.embed(tmp_path / "gone.png", sign=farm) != ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'vfxswap[c2pa]'" in provenance.embed(good, sign=farm)
    assert (page.read_text(), text.read_text(), good.read_bytes()) == (marks.HTML, "this is no picture", whole)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["no.png", "page.html", "sheet.png"]


# ------------------------------------------------------------------------------------------------ the network


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and what it was asked for."""
    requests: list[str] = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        socket.create_connection(("127.0.0.1", server.server_port), timeout=5).close()
    except OSError:
        pytest.skip("this machine has no loopback network")
    yield f"http://127.0.0.1:{server.server_port}/x.c2pa", requests
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_cannot_make_the_machine_call_an_address(office: Office, tmp_path: Path, asked: tuple[str, list[str]]):
    """The library by itself fetches the address that a stranger's file names; under our settings it does not."""
    address, requests = asked
    source, target = io.BytesIO(sheet(tmp_path).read_bytes()), io.BytesIO()
    claim = sidecar.claim("x", actions=[{"action": "c2pa.created", "digitalSourceType": marks.SOURCE_TYPE}], said={})
    builder = c2pa.Builder(json.dumps(claim), context=sidecar.context())
    builder.set_no_embed()
    builder.set_remote_url(address)
    with sidecar.credential(office.farm) as signing:
        builder.sign(signing, "image/png", source, target)
    assert requests == []

    def opened(**given: Any) -> None:
        with pytest.raises(c2pa.C2paError):
            c2pa.Reader("image/png", io.BytesIO(target.getvalue()), **given)

    opened(context=sidecar.context())
    assert requests == []
    opened()
    assert requests == ["/x.c2pa"], "what the settings are for"
