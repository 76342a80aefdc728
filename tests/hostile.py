"""Hostile files: what turns a good file into a bad one. Shared by the tests and by benchmarks/hostile/fuzz.py.

Everything is drawn from the `Random` that is handed in, so a finding is named by a seed.
"""

from __future__ import annotations

import copy
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

from vfxswap import archive

HUGE = "9" * 5000
"""More digits than Python turns into an int."""

DEEP = 100_000

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**30, 0.0, -0.5, 1e-320, 1e300,
    "", " ", "0", "-1", "nan", "../../../etc/passwd", "/etc/passwd", "/dev/zero", "C:\\x", "\\\\a\\b", "~nobody/x",
    "a\0b", "\x1b[31m", "\u202e", "%n%s%n", "%0999999999d", "####", "$(touch x)", "; rm -rf x", "<script>", "x" * 300,
    "x" * 100_000, "١٢", "²", "1-999999999", "1-1000000x0", "ocio://", "e" * 64, [], {}, [[]], [0], {"": ""},
    [1] * 10_000,
)  # fmt: skip
"""Values that a field does not expect."""

RAW = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", HUGE, "-" + HUGE, "1e-400", '"\\ud800"', '"\\u0000"')
"""JSON as text that `json.dumps` would not write."""

_MARK = "@@raw@@"


def mutated_bytes(random: Random, data: bytes) -> bytes:
    """Damage to bytes, whatever they mean: one to four times."""
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice(_BYTES)(random, bytearray(data))
    return data


def _flip(random: Random, data: bytearray) -> bytes:
    for _ in range(random.choice((1, 1, 3, 16))):
        if data:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def _cut(random: Random, data: bytearray) -> bytes:
    return bytes(data[: random.randrange(len(data) + 1)])


def _drop(random: Random, data: bytearray) -> bytes:
    at = random.randrange(len(data) + 1)
    del data[at : at + random.choice((1, 4, 64, 1024))]
    return bytes(data)


def _splice(random: Random, data: bytearray) -> bytes:
    at, source = random.randrange(len(data) + 1), random.randrange(len(data) + 1)
    data[at:at] = data[source : source + random.choice((1, 8, 64, 512))]
    return bytes(data)


def _overwrite(random: Random, data: bytearray) -> bytes:
    at = random.randrange(len(data) + 1)
    number = random.choice((0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 1 << 40))
    piece = struct.pack(random.choice(("<Q", ">Q")), number)[: random.choice((1, 2, 4, 8))]
    data[at : at + len(piece)] = piece
    return bytes(data)


def _insert(random: Random, data: bytearray) -> bytes:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.choice(
        (b"\0", b"\xff" * 8, b"[" * 5000, b"{" * 300, b'"', b"\r\n", b"-", b"9" * 5000, b"\x80")
    )
    return bytes(data)


_BYTES: tuple[Callable[[Random, bytearray], bytes], ...] = (_flip, _flip, _cut, _drop, _splice, _overwrite, _insert)


# ------------------------------------------------------------------------------------------------- JSON


def mutated_value(random: Random, value: Any) -> tuple[Any, str]:
    """A JSON value whose structure was changed, and the raw JSON that goes where `@@raw@@` stands in it."""
    value, raw = copy.deepcopy(value), ""
    for _ in range(random.choice((1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return random.choice(STRANGE), raw
        parent, key = random.choice(places)
        how = random.randrange(8)
        if how <= 2:
            parent[key] = copy.deepcopy(random.choice(STRANGE))
        elif how == 3:
            parent[key], raw = _MARK, random.choice(RAW)
        elif how == 4 and isinstance(parent, dict):
            parent[random.choice((f"{key}x", key.upper(), "schema", "", "x" * 1000))] = parent.pop(key)
        elif how == 5:
            del parent[key]
        elif how == 6:
            other, theirs = random.choice(places)
            if _has(other, theirs) and _has(parent, key):
                parent[key] = copy.deepcopy(other[theirs])
        elif isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
            parent[key] *= random.choice((-1, 0, 1e6, 1e18, 1.5))
        else:
            parent[key] = [copy.deepcopy(parent[key])] * random.choice((1, 2, 100))
    return value, raw


def mutated_json(random: Random, data: bytes) -> bytes:
    """JSON text with another structure, and now and then a text that is none."""
    how = random.randrange(20)
    if how == 0:
        return mutated_bytes(random, data)
    if how == 1:
        return random.choice((b"[" * DEEP, b'{"a":' * DEEP, b"", b"null", b"[]", b"\xef\xbb\xbf{}", b"1" * 6000))
    value, raw = mutated_value(random, json.loads(data))
    text = json.dumps(value).replace(f'"{_MARK}"', raw or "null")
    if how == 2 and isinstance(value, dict) and value:
        key = random.choice(list(value))
        text = text[:-1] + f", {json.dumps(key)}: {random.choice(RAW)}}}"  # a key twice
    if how == 3:
        at = text.find(":")
        nested = random.choice(("[", '{"a":')) * random.choice((900, DEEP))
        text = text[: at + 1] + nested + text[at + 1 :]
    return text.encode()


def _places(value: Any) -> Any:
    """Every (container, key) in a value."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield from ((here, key) for key in here)
            waiting.extend(here.values())
        elif isinstance(here, list):
            yield from ((here, key) for key in range(len(here)))
            waiting.extend(here[:50])


def _has(container: Any, key: Any) -> bool:
    return key in container if isinstance(container, dict) else key < len(container)


# ------------------------------------------------------------------------------------------------- archives


def packed(manifest: bytes, members: dict[str, bytes], *, sign: bool = True) -> bytes:
    """An archive; `sign` puts the members' own hashes into a manifest that is an object, so that they are believed."""
    if sign:
        try:
            head = json.loads(manifest)
            head["sha256"] = {name: archive.sha256(data) for name, data in members.items()}
            manifest = json.dumps(head).encode()
        except (ValueError, TypeError, RecursionError):
            pass
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(archive.MANIFEST, manifest)
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def unpacked(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The manifest and the members of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        members = {name: made.read(name) for name in made.namelist()}
    return members.pop(archive.MANIFEST), members


def mutated_archive(random: Random, data: bytes) -> bytes:
    """A zip of JSON and arrays, damaged from outside or from within."""
    how = random.randrange(10)
    if how <= 1:
        return mutated_bytes(random, data)
    manifest, members = unpacked(data)
    if how <= 5 or not members:
        return packed(mutated_json(random, manifest), members)
    name = random.choice(sorted(members))
    if how == 9:
        strange = random.choice(("../../evil.npy", "/tmp/evil.npy", "a/b.npy", "C:evil", "x" * 300, "\u202enpy"))
        members[strange] = members.pop(name)
    elif name.endswith(".npy"):
        members[name] = mutated_array(random, members[name])
    else:
        members[name] = mutated_bytes(random, members[name])
    return packed(manifest, members)


def mutated_array(random: Random, data: bytes) -> bytes:
    """An .npy file that claims another shape or type, or holds other numbers."""
    how = random.randrange(4)
    if how == 0:
        return mutated_bytes(random, data)
    if how == 1:
        body = bytearray(data)
        for _ in range(random.choice((1, 5))):
            at = 128 + 8 * random.randrange(max(1, (len(body) - 128) // 8))
            number = random.choice((float("nan"), float("inf"), -1e300, 1e300, 1e-300, 0.0, -1.0))
            body[at : at + 8] = struct.pack("<d", number)
        return bytes(body[: len(data)])
    head = data[10:128].decode("latin-1")
    if how == 2:
        kind = random.choice(("|O", "<U9", "<c16", "<f2", "|V8", "<i8", ">f8", "<M8[s]", "<f8,<i4"))
        head = re.sub(r"'descr': '[^']*'", f"'descr': '{kind}'", head)
    else:
        shape = random.choice(("(999999999999,)", "(0,)", "()", "(-1, 3)", "(1, 478, 3)", "(2, 2, 2, 2)", "(1e9,)"))
        head = re.sub(r"'shape': \([^)]*\)", f"'shape': {shape}", head)
    head = (head.rstrip() + " " * 200)[:117] + "\n"
    return data[:10] + head.encode("latin-1") + data[128:]


def bomb(name: str, *, claim: int, real: int) -> bytes:
    """An archive with one member of `real` zeros that says it holds `claim` bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(archive.MANIFEST, json.dumps({"schema": "vfxswap.shot/4", "sha256": {name: "0"}}))
        with made.open(name, "w", force_zip64=True) as stream:
            for _ in range(real >> 20):
                stream.write(bytes(1 << 20))
    data = bytearray(out.getvalue())
    if claim != real:
        size = struct.pack("<I", real)
        at = data.rfind(size, data.rfind(b"PK\x01\x02"))
        data[at : at + 4] = struct.pack("<I", claim)
    return bytes(data)


# ------------------------------------------------------------------------------------------------- texts


def mutated_text(random: Random, data: bytes) -> bytes:
    """A script or a table of settings: words changed, moved, doubled; sometimes the bytes."""
    if random.randrange(3) == 0:
        return mutated_bytes(random, data)
    words = re.split(r"(\s+)", data.decode("utf-8"))
    for _ in range(random.choice((1, 2, 5))):
        at = random.randrange(len(words))
        how = random.randrange(5)
        if how == 0:
            words[at] = str(random.choice(STRANGE))[:2000]
        elif how == 1:
            words[at] = random.choice(RAW)
        elif how == 2:
            words[at] = random.choice(words)
        elif how == 3:
            words[at] = random.choice(("{", "}", '"', "[", "]", "\\", "#", "'''", "=", "curve", "x1e400", "end_group"))
        else:
            words[at] += words[at] * random.choice((1, 3000))
    return "".join(words).encode("utf-8", "surrogatepass")
