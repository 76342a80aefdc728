"""Cryptomatte: ids as everybody else computes them, coverage recovered to the bit, names found or refused in words."""

from __future__ import annotations

import fnmatch
import json
import os

import numpy as np
import OpenEXR
import pytest

from vfxswap import cryptomatte, exr, roto
from vfxswap.cryptomatte import Layer
from vfxswap.errors import PlateError
from vfxswap.geometry import Window
from vfxswap.matte_input import MatteInput

# Computed by others: the specification's examples and the manifests and unit tests that Psyop publishes with it.
PUBLISHED = {
    "bunny": "13851a76",
    "default": "42c9679f",
    "bunny_porcelain_mat": "b24b26d4",
    "bush": "f763d090",
    "leftAsset": "ce406a47",
    "rightAsset": "8f3ccbde",
    "default_555": "56c1f4ca",
    "flowerA.flowerA_petal1.:1126": "05e7bd28",
    # The plain hashes of these two, 7f8e5296 and 7fd72e64, would be NaN.
    "flowerA.flowerA_petal1.:1065": "7f0e5296",
    "flowerA.flowerA_petal1.:3086": "7f572e64",
}
PUBLISHED_FLOATS = {
    "hello": 6.0705627102400005616e-17,
    "cube": -4.08461912519e15,
    "sphere": 2.79018604383e15,
    "plane": 3.66557617593e-11,
    "равнина": -1.3192631212399999468e-25,
    "mädchen": 6.2361298211599995797e25,
    "heroflower": 2.07262543558e26,
}

WIDTH, HEIGHT = 64, 40
OBJECTS = ("hand", "/set/lamp_01", "/set/lamp_02")


@pytest.mark.parametrize(("name", "number"), PUBLISHED.items())
def test_ids_are_those_that_others_publish(name, number):
    assert f"{cryptomatte.name_id(name):08x}" == number


@pytest.mark.parametrize(("name", "value"), PUBLISHED_FLOATS.items())
def test_ids_are_the_bits_of_the_published_floats(name, value):
    expected = np.float32(value)
    bits = np.uint32(cryptomatte.name_id(name))
    # Some are published with 12 digits only, which is enough for one float32 and no other.
    assert bits.view(np.float32) == expected
    assert Layer("C").ids([f"<{value!r}>"]) == {int(bits)}


def test_no_id_is_a_float_that_an_image_program_could_change():
    ids = np.array([cryptomatte.name_id(f"object{i}") for i in range(5000)], np.uint32).view(np.float32)
    assert np.isfinite(ids).all()
    assert (np.abs(ids) >= np.finfo(np.float32).tiny).all()


# ------------------------------------------------------------------------------------- a rendered picture


def rendered() -> dict[str, np.ndarray]:
    """Object -> coverage of three objects, one in front of the other: 8 x 8 samples a pixel at 8 times of the shutter.

    All coverages are multiples of 1/512, so that sums in float32 are exact.
    """
    steps = (np.arange(8) + 0.5) / 8
    x, y, time = np.meshgrid(
        (np.arange(WIDTH)[:, None] + steps).ravel(), (np.arange(HEIGHT)[:, None] + steps).ravel(), steps
    )
    inside = {
        "hand": np.hypot(x - 20 - 9 * time, y - 15) < 9,  # moves 9 pixels while the shutter is open
        "/set/lamp_01": np.hypot(x - 30, y - 20 + 5 * time) < 10,
        "/set/lamp_02": x + 0.4 * y > 33 + 6 * time,
    }
    free = np.ones(x.shape, bool)
    covers = {}
    for name, hit in inside.items():
        seen = (hit & free).reshape(HEIGHT, 8, WIDTH, 8, 8)
        covers[name] = (seen.sum(axis=(1, 3, 4)) / 512).astype(np.float32)
        free &= ~hit
    return covers


def total(covers: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack(list(covers.values())).sum(axis=0)


def ranked(covers: dict[str, np.ndarray], *, layers: int = 3) -> dict[str, np.ndarray]:
    """The channels of a Cryptomatte: the ids of each pixel by falling coverage; the background is id 0."""
    back = 1 - total(covers)
    ids = np.array([0, *(int(PUBLISHED.get(n, f"{cryptomatte.name_id(n):08x}"), 16) for n in covers)], np.uint32)
    stack = np.stack([back, *covers.values()])
    order = np.argsort(-stack, axis=0, kind="stable")
    sorted_cover = np.take_along_axis(stack, order, axis=0)
    sorted_ids = np.where(sorted_cover > 0, ids[order], 0).astype(np.uint32)
    channels = {}
    for rank in range(2 * layers):
        number, cover = ("R", "G") if rank % 2 == 0 else ("B", "A")
        there = rank < len(stack)
        blank = np.zeros((HEIGHT, WIDTH), np.float32)
        channels[f"{rank // 2:02d}.{number}"] = sorted_ids[rank].view(np.float32) if there else blank
        channels[f"{rank // 2:02d}.{cover}"] = sorted_cover[rank] if there else blank
    return channels


def header(name: str, objects=OBJECTS, *, key: str = "d593dd7", **more: str) -> dict[str, str]:
    fields = {"name": name, "hash": cryptomatte.HASH, "conversion": cryptomatte.CONVERSION}
    if objects is not None:
        fields["manifest"] = json.dumps({n: f"{cryptomatte.name_id(n):08x}" for n in objects})
    return {f"cryptomatte/{key}/{field}": value for field, value in (fields | more).items()}


def write(path, *, name="CryptoObject", attributes=None, channels=None, compression="zip", **layout):
    """A half picture with the Cryptomatte in the same part, as renderers write it."""
    planes = {f"{name}{key}": plane for key, plane in ranked(rendered()).items()} if channels is None else channels
    beauty = {letter: np.full((HEIGHT, WIDTH), 0.25 * i, np.float16) for i, letter in enumerate("RGBA")}
    exr.write_channels(
        path,
        channels=beauty | planes,
        attributes=header(name) if attributes is None else attributes,
        compression=compression,
        **layout,
    )
    return path


def cover(path, *objects, layer="", **changes):
    source = MatteInput(str(path), objects=objects, layer=layer, **changes)
    return roto.read(source, frame=1, window=Window(0, 0, WIDTH, HEIGHT), display=(WIDTH, HEIGHT))


def test_the_synthetic_picture_is_what_the_tests_think_it_is(tmp_path):
    covers = rendered()
    there = np.sum([c > 0 for c in covers.values()], axis=0) + (total(covers) < 1)
    assert there.max() == 4, "pixels with all three objects and the background: two layers of ranks are needed"
    assert ((covers["hand"] > 0) & (covers["hand"] < 1)).sum() > 100, "antialiased and motion-blurred"
    file = OpenEXR.File(str(write(tmp_path / "ids.exr")), separate_channels=True)
    first = file.parts[0].channels["CryptoObject00.R"].pixels
    assert first.dtype == np.float32
    assert int(PUBLISHED["bunny"], 16) not in first.view(np.uint32)
    assert cryptomatte.name_id("hand") in first.view(np.uint32)
    assert file.header()["cryptomatte/d593dd7/name"] == "CryptoObject"


@pytest.mark.parametrize("compression", ["none", "zip", "zips", "piz", "rle", "b44"])
def test_every_object_comes_back_to_the_bit(tmp_path, compression):
    path = write(tmp_path / "ids.exr", compression=compression)
    for name, expected in rendered().items():
        np.testing.assert_array_equal(cover(path, name), expected)


def test_objects_add_up(tmp_path):
    covers = rendered()
    path = write(tmp_path / "ids.exr")
    lamps = covers["/set/lamp_01"] + covers["/set/lamp_02"]
    np.testing.assert_array_equal(cover(path, "/set/lamp_01", "/set/lamp_02"), lamps)
    np.testing.assert_array_equal(cover(path, "/set/lamp*"), lamps)
    np.testing.assert_array_equal(cover(path, "/set/lamp_0[1]"), covers["/set/lamp_01"])
    np.testing.assert_array_equal(cover(path, "*"), total(covers))
    np.testing.assert_array_equal(cover(path, "hand", "hand"), covers["hand"])
    np.testing.assert_array_equal(cover(path, "hand", invert=True), 1 - covers["hand"])


def test_ids_are_taken_as_hex_and_as_float(tmp_path):
    path = write(tmp_path / "ids.exr")
    number = np.uint32(cryptomatte.name_id("hand"))
    expected = rendered()["hand"]
    np.testing.assert_array_equal(cover(path, f"<{number:08x}>"), expected)
    np.testing.assert_array_equal(cover(path, f"<{number:08X}>"), expected)
    np.testing.assert_array_equal(cover(path, f"<{number.view(np.float32)!s}>"), expected)


def test_names_work_without_a_manifest(tmp_path):
    path = write(tmp_path / "ids.exr", attributes=header("CryptoObject", None))
    np.testing.assert_array_equal(cover(path, "hand"), rendered()["hand"])
    assert not cover(path, "somebody else").any()
    with pytest.raises(PlateError, match=r"wildcard.*no manifest"):
        cover(path, "ha*")


def test_the_manifest_decides_over_the_hash(tmp_path):
    numbers = json.dumps({"finger": f"{cryptomatte.name_id('hand'):08x}"})
    path = write(tmp_path / "ids.exr", attributes=header("CryptoObject", None, manifest=numbers))
    np.testing.assert_array_equal(cover(path, "finger"), rendered()["hand"])


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [("hnad", "did you mean hand?"), ("HAND", "did you mean hand?"), ("lamp", "lamp_01"), ("zzz", "there are /set")],
)
def test_unknown_objects_are_refused_with_near_names(tmp_path, wanted, hint):
    path = write(tmp_path / "ids.exr")
    with pytest.raises(PlateError) as caught:
        cover(path, wanted)
    assert repr(wanted) in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.path == path
    assert caught.value.frame == 1


def test_several_cryptomattes_are_told_apart(tmp_path):
    planes = ranked(rendered())
    swapped = ranked(dict(zip(("leather", "glass", "chrome"), rendered().values(), strict=True)))
    both = {f"CryptoObject{k}": v for k, v in planes.items()} | {f"CryptoMaterial{k}": v for k, v in swapped.items()}
    attributes = header("CryptoObject") | header("CryptoMaterial", ("leather", "glass", "chrome"), key="be93ba3")
    path = write(tmp_path / "ids.exr", channels=both, attributes=attributes)
    np.testing.assert_array_equal(cover(path, "hand"), rendered()["hand"])
    np.testing.assert_array_equal(cover(path, "leather"), rendered()["hand"])
    np.testing.assert_array_equal(cover(path, "leather", layer="cryptomaterial"), rendered()["hand"])
    with pytest.raises(PlateError, match=r"none of the Cryptomattes.*did you mean leather"):
        cover(path, "lether")
    with pytest.raises(PlateError, match="no object 'leather' in Cryptomatte CryptoObject"):
        cover(path, "leather", layer="CryptoObject")
    with pytest.raises(PlateError, match="in several Cryptomattes"):
        cover(path, "*")
    with pytest.raises(PlateError, match="did you mean 'CryptoObject'"):
        cover(path, "hand", layer="CryptObject")


def test_many_objects_are_found_among_many():
    names = [f"petal.{i}" for i in range(60)]
    bits = np.array([[cryptomatte.name_id(name) for name in [*names, "bunny", "bush"]] + [0, 0xFFFFFFFF]], np.uint32)
    channels = {"C00.R": bits.view(np.float32), "C00.G": np.linspace(0.1, 1, bits.size, dtype=np.float32)[None]}
    layer = Layer("C", {name: cryptomatte.name_id(name) for name in [*names, "bunny", "bush"]})
    for pattern in ("petal.*", "petal.1*", "petal.?", "petal.[0-4]", "petal.[0-3]"):
        matching = np.flatnonzero(cryptomatte.matte(channels, layer, [pattern])[0])
        assert [names[i] for i in matching] == [n for n in names if fnmatch.fnmatchcase(n, pattern)]


def test_a_uint_channel_among_the_ranks_does_no_harm(tmp_path):
    planes = {f"CryptoObject{key}": plane for key, plane in ranked(rendered()).items()}
    planes |= {"CryptoObject00.Id": np.full((HEIGHT, WIDTH), 2**32 - 5, np.uint32)}
    head = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    path = tmp_path / "ids.exr"
    OpenEXR.File(head | header("CryptoObject"), planes).write(str(path))
    np.testing.assert_array_equal(cover(path, "hand"), rendered()["hand"])


def test_spellings_of_other_renderers_are_read(tmp_path):
    """Lower-case channels below a layer as Blender names them, and the prefix of the specification's first version."""
    planes = {f"ViewLayer.CryptoObject{key.lower()}": plane for key, plane in ranked(rendered()).items()}
    attributes = {f"exr/{name}": value for name, value in header("ViewLayer.CryptoObject").items()}
    path = write(tmp_path / "ids.exr", channels=planes, attributes=attributes)
    np.testing.assert_array_equal(cover(path, "hand"), rendered()["hand"])


def test_parts_named_after_the_ranks_are_read(tmp_path):
    """One part for each rank layer, channels named R, G, B, A, and data windows as tight as the layer's objects."""
    ids = header("CryptoObject")
    base = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    shown = (np.array([0, 0], np.int32), np.array([WIDTH - 1, HEIGHT - 1], np.int32))
    grey = np.zeros((HEIGHT, WIDTH), np.float16)
    parts = [OpenEXR.Part({**base, "displayWindow": shown}, dict.fromkeys("RGB", grey), "beauty")]
    planes = ranked(rendered())
    for layer in ("00", "01"):
        used = np.flatnonzero(planes[f"{layer}.G"].any(axis=1))
        rows = slice(used[0], used[-1] + 1)
        window = (np.array([0, used[0]], np.int32), np.array([WIDTH - 1, used[-1]], np.int32))
        channels = {c: planes[f"{layer}.{c}"][rows].copy() for c in "RGBA"}
        head = {**base, **ids, "dataWindow": window, "displayWindow": shown}
        parts.append(OpenEXR.Part(head, channels, f"CryptoObject{layer}"))
    path = tmp_path / "ids.exr"
    OpenEXR.File(parts).write(str(path))
    assert exr.probe(path).parts[2].data_window != exr.probe(path).parts[1].data_window
    np.testing.assert_array_equal(cover(path, "hand"), rendered()["hand"])


# --------------------------------------------------------------------------------------- manifest files


def sidecar(tmp_path, name, *, file=None):
    text = json.dumps({"finger": f"{cryptomatte.name_id('hand'):08x}"})
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    folder = tmp_path / "show" / "ids"
    folder.mkdir(parents=True, exist_ok=True)
    return write(folder / "ids.exr", attributes=header("CryptoObject", None, manif_file=name))


@pytest.mark.parametrize("name", ["ids.json", "./ids.json", "sub/ids.json", r"sub\ids.json", "sub/../ids.json"])
def test_a_manifest_file_beside_the_picture_is_read(tmp_path, name):
    folder = tmp_path / "show" / "ids"
    (folder / "sub").mkdir(parents=True)
    path = sidecar(tmp_path, name, file=folder / os.path.normpath(name.replace("\\", "/")))
    np.testing.assert_array_equal(cover(path, "fing*"), rendered()["hand"])


@pytest.mark.parametrize(
    "name", ["../ids.json", "sub/../../ids.json", "{root}/show/ids.json", r"..\ids.json", r"C:\ids"]
)
def test_a_manifest_file_elsewhere_is_not_opened(tmp_path, name):
    (tmp_path / "show" / "ids" / "sub").mkdir(parents=True)
    path = sidecar(tmp_path, name.format(root=tmp_path), file=tmp_path / "show" / "ids.json")
    with pytest.raises(PlateError, match="does not lie in the matte's folder"):
        cover(path, "fing*")
    np.testing.assert_array_equal(cover(path, "hand"), rendered()["hand"], "ids do without it")


def test_a_link_does_not_lead_out_of_the_folder(tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"finger": f"{cryptomatte.name_id('hand'):08x}"}))
    path = sidecar(tmp_path, "ids.json")
    (path.parent / "ids.json").symlink_to(secret)
    with pytest.raises(PlateError, match="does not lie"):
        cover(path, "fing*")


def test_a_linked_picture_finds_the_manifest_in_its_store(tmp_path):
    path = sidecar(tmp_path, "ids.json", file=tmp_path / "show" / "ids" / "ids.json")
    links = tmp_path / "links"
    links.mkdir()
    for name in ("ids.exr", "ids.json"):
        (links / name).symlink_to(path.parent / name)
    np.testing.assert_array_equal(cover(links / "ids.exr", "fing*"), rendered()["hand"])


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": 5}', '{"a": "xyz"}', "[" * 100_000, "null"])
def test_a_broken_manifest_is_no_manifest(tmp_path, text):
    path = write(tmp_path / "ids.exr", attributes=header("CryptoObject", None, manifest=text))
    np.testing.assert_array_equal(cover(path, "hand"), rendered()["hand"])
    with pytest.raises(PlateError, match="the manifest in the header"):
        cover(path, "ha*")


def test_the_files_behind_a_matte_are_known(tmp_path):
    """What a cache must look at to know that a matte is the same."""
    manifest = tmp_path / "show" / "ids" / "ids.json"
    path = sidecar(tmp_path, "ids.json", file=manifest)
    source = MatteInput(str(path), objects=("finger",))
    assert roto.files(source, frame=1) == (path, manifest.resolve())
    assert roto.files(MatteInput(str(path), channel="A"), frame=1) == (path,)
    pattern = str(tmp_path / "ids.%V.####.exr")
    assert roto.files(MatteInput(pattern, objects=("a",)), frame=7, view="left") == (tmp_path / "ids.left.0007.exr",)
    (path.parent / "ids.json").unlink()
    outside = write(path, attributes=header("CryptoObject", None, manif_file="../ids.json"))
    assert roto.files(MatteInput(str(outside), objects=("a",)), frame=1) == (path,)


def test_a_missing_or_foreign_manifest_file_is_no_manifest(tmp_path):
    path = sidecar(tmp_path, "ids.json")
    np.testing.assert_array_equal(cover(path, "hand"), rendered()["hand"])
    with pytest.raises(PlateError, match="cannot be read"):
        cover(path, "ha*")
    (path.parent / "ids.json").write_bytes(b"\xff\xfe")
    with pytest.raises(PlateError, match="cannot be read"):
        cover(path, "ha*")
    (path.parent / "ids.json").unlink()
    os.mkfifo(path.parent / "ids.json")
    with pytest.raises(PlateError, match="does not lie"):
        cover(path, "ha*")


# ------------------------------------------------------------------------------------------ bad pictures


def test_half_ids_are_refused(tmp_path):
    with np.errstate(over="ignore"):
        planes = {f"CryptoObject{key}": plane.astype(np.float16) for key, plane in ranked(rendered()).items()}
    with pytest.raises(PlateError, match="float16: Cryptomatte ids need 32-bit"):
        cover(write(tmp_path / "ids.exr", channels=planes), "hand")


@pytest.mark.parametrize("compression", ["dwaa", "dwab"])
def test_compressions_that_destroy_ids_are_refused(tmp_path, compression):
    with pytest.raises(PlateError, match=f"{compression}.*destroys ids.*zip"):
        cover(write(tmp_path / "ids.exr", compression=compression), "hand")


def test_a_file_without_or_with_half_a_cryptomatte_is_refused(tmp_path):
    with pytest.raises(PlateError, match="no Cryptomatte in the file"):
        cover(write(tmp_path / "none.exr", channels={}, attributes={}), "hand")
    with pytest.raises(PlateError, match=r"no channels CryptoObject00\.R"):
        cover(write(tmp_path / "bare.exr", channels={}), "hand")
    planes = {f"CryptoObject{key}": plane for key, plane in ranked(rendered()).items() if key != "01.A"}
    with pytest.raises(PlateError, match=r"rank 01.*incomplete"):
        cover(write(tmp_path / "torn.exr", channels=planes), "hand")
    with pytest.raises(PlateError, match="conversion 'uint32'"):
        cover(write(tmp_path / "new.exr", attributes=header("CryptoObject", conversion="uint32")), "hand")
    with pytest.raises(PlateError, match=r"hash 'FNV'.*by id"):
        cover(write(tmp_path / "hash.exr", attributes=header("CryptoObject", None, hash="FNV")), "hand")


def test_ids_are_compared_as_bits_and_nan_coverage_is_none():
    bits = np.array([[0x80000000, 0x00000000, 0x7F800001, 0x13851A76]], np.uint32)
    full = np.array([[0.5, 0.25, 1.0, np.nan]], np.float32)
    channels = {"C00.R": bits.view(np.float32), "C00.G": full}
    layer = Layer("C")
    np.testing.assert_array_equal(cryptomatte.matte(channels, layer, ["<80000000>"]), [[0.5, 0, 0, 0]])
    np.testing.assert_array_equal(cryptomatte.matte(channels, layer, ["<7f800001>"]), [[0, 0, 1, 0]])
    np.testing.assert_array_equal(cryptomatte.matte(channels, layer, ["bunny"]), [[0, 0, 0, 0]])
    over = {"C00.R": bits.view(np.float32), "C00.G": np.full((1, 4), 1.5, np.float32)}
    assert cryptomatte.matte(over, layer, ["bunny"])[0, 3] == 1.0


def test_a_layer_said_twice_is_the_one_with_a_manifest():
    found = cryptomatte.layers(header("C", None, key="a") | header("C", key="b") | header("C", None, key="c"))
    assert [layer.name for layer in found] == ["C"]
    assert found[0].manifest is not None
    assert set(found[0].manifest) == set(OBJECTS)
