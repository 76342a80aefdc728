"""The notation of mattes: what it means, that it comes back, and what is refused in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from vfxswap.errors import JobError
from vfxswap.matte_input import MAX_PIXELS, MatteInput


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("m.####.exr", {"pattern": "m.####.exr"}),
        ("m.%04d.exr:A,holdout", {"pattern": "m.%04d.exr", "channel": "A", "kind": "holdout"}),
        ("m.$F4.exr:hand.A", {"pattern": "m.$F4.exr", "channel": "hand.A"}),
        (r"C:\x\m.####.exr:A", {"pattern": r"C:\x\m.####.exr", "channel": "A"}),
        (r"C:\x\m.####.exr", {"pattern": r"C:\x\m.####.exr"}),
        (r"C:\x\mattes", {"pattern": r"C:\x\mattes"}),
        ("C:mattes", {"pattern": "C:mattes"}),
        ("C:\\x\\,grow=2", {"pattern": "C:\\x\\", "grow": 2.0}),
        (
            "shot.1-10x2#.exr:rgba.alpha,invert",
            {"pattern": "shot.1-10x2#.exr", "channel": "rgba.alpha", "invert": True},
        ),
        ("m.1-30:5#.exr", {"pattern": "m.1-30:5#.exr"}),
        ("m.1-30:5#.exr:A", {"pattern": "m.1-30:5#.exr", "channel": "A"}),
        ("m.1-30:5#", {"pattern": "m.1-30:5#"}),
        ("m.1,3,5-9#.exr,feather=2.5", {"pattern": "m.1,3,5-9#.exr", "feather": 2.5}),
        ("m.[1001-1048].exr,erode=.5", {"pattern": "m.[1001-1048].exr", "grow": -0.5}),
        ("a,holdout/m.exr", {"pattern": "a,holdout/m.exr"}),
        ("roto.exr/m.####.exr:A", {"pattern": "roto.exr/m.####.exr", "channel": "A"}),
        ("folder,holdout", {"pattern": "folder", "kind": "holdout"}),
        ("folder:A,holdout", {"pattern": "folder", "channel": "A", "kind": "holdout"}),
        ("m.exr:hero:hand.A", {"pattern": "m.exr", "channel": "hero:hand.A"}),
        ("M.EXR : A , HOLDOUT , grow = 4px", {"pattern": "M.EXR", "channel": "A", "kind": "holdout", "grow": 4.0}),
        ("m.exr,garbage,grow=-3", {"pattern": "m.exr", "grow": -3.0}),
        (
            r"ids.exr,object=a\,b,object=C:\\d,object=lamp*,crypto=CryptoObject",
            {"pattern": "ids.exr", "objects": ("a,b", r"C:\d", "lamp*"), "layer": "CryptoObject"},
        ),
        ("ids.exr,object=<13851a76>,object=a=b", {"pattern": "ids.exr", "objects": ("<13851a76>", "a=b")}),
    ],
)
def test_what_the_notation_says(text, fields):
    assert MatteInput.parse(text) == MatteInput(**fields)


@pytest.mark.parametrize(
    "text",
    [
        "m.####.exr:hand.A,holdout,invert,grow=1.5,feather=4",
        "m.exr,crypto=CryptoObject,object=a,object=b,erode=0.25",
    ],
)
def test_the_canonical_text_stays_as_it_is(text):
    assert str(MatteInput.parse(text)) == text


def test_texts_that_mean_the_same_become_one():
    assert str(MatteInput.parse("m.exr , garbage,grow= -2.50 , feather=0")) == "m.exr,erode=2.5"


NAMES = st.text(max_size=12)
PIXELS = st.floats(0, MAX_PIXELS)


@given(
    pattern=st.one_of(NAMES, st.from_regex(r"[a-z/\\,:.=#%]*\.exr", fullmatch=True)),
    channel=NAMES,
    objects=st.lists(NAMES, max_size=3).map(tuple),
    layer=NAMES,
    kind=st.sampled_from(["garbage", "holdout"]),
    invert=st.booleans(),
    grow=st.floats(-MAX_PIXELS, MAX_PIXELS),
    feather=PIXELS,
)
@example("m.exr", "", ("with, comma", "back\\slash", "\\", "\\,"), "", "holdout", True, 1e-7, 0.1)
def test_every_matte_comes_back_or_is_refused(pattern, channel, objects, layer, kind, invert, grow, feather):
    """What the dataclass accepts can be written and read back; the rest is a JobError, never anything else."""
    fields = {"pattern": pattern, "channel": channel, "objects": objects, "layer": layer, "kind": kind}
    try:
        made = MatteInput(**fields, invert=invert, grow=grow, feather=feather)
    except JobError:
        assume(False)
    assert MatteInput.parse(str(made)) == made
    assert str(MatteInput.parse(str(made))) == str(made)


@given(st.text(max_size=40) | st.from_regex(r"m\.exr[:,a-z=.0-9\\ ]{0,30}", fullmatch=True))
def test_any_text_is_read_or_refused_with_a_hint(text):
    try:
        made = MatteInput.parse(text)
    except JobError as error:
        assert error.hint
        assert "\n" not in str(error)
    else:
        assert MatteInput.parse(str(made)) == made


def test_common_names_are_not_refused():
    for name in ("hand", "/world/set/lamp_01", "with_a,_comma", "has\\escape", 'the "hero"', "равнина", "a:b", "a=b"):
        made = MatteInput("ids.####.exr", objects=(name,), kind="holdout")
        assert MatteInput.parse(str(made)).objects == (name,)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "without a path", "SEQ[:CHANNEL]"),
        (",holdout", "without a path", "SEQ[:CHANNEL]"),
        ("m.exr:", "no channel after the colon", "SEQ[:CHANNEL]"),
        ("m.exr,holdot", "unknown key 'holdot'", "'holdout'"),
        ("m.exr,fether=3", "unknown key 'fether'", "'feather'"),
        ("m.exr,blur=3", "unknown key 'blur'", "garbage, holdout, invert"),
        ("m.exr,", "unknown key ''", "allowed are"),
        ("m.exr,grow", "grow needs a value", "grow=PX"),
        ("m.exr,grow=wide", "grow is 'wide'", "grow=2.5"),
        ("m.exr,feather=nan", "feather is 'nan'", "number of pixels"),
        ("m.exr,grow=5000", "grow is 5000", "-1000 to 1000"),
        ("m.exr,feather=-1", "feather is -1", "0 to 1000"),
        ("m.exr,invert=1", "invert takes no value", "write invert alone"),
        ("m.exr,holdout,garbage", "garbage contradicts", "once"),
        ("m.exr,grow=1,erode=1", "erode contradicts", "once"),
        ("m.exr,crypto=CryptoObject", "without an object", "object=NAME"),
        ("m.exr,object=", "object needs a value", "object=NAME"),
        ("m.exr:A,object=hand", "channel 'A' and Cryptomatte", "drop the channel"),
    ],
)
def test_mistakes_are_named(text, message, hint):
    with pytest.raises(JobError) as caught:
        MatteInput.parse(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 4


def test_fields_are_checked_without_text_too():
    with pytest.raises(JobError, match="kind"):
        MatteInput("m.exr", kind="hold")  # type: ignore[arg-type]
    with pytest.raises(JobError, match="feather"):
        MatteInput("m.exr", feather=float("nan"))
    with pytest.raises(JobError, match="cannot be written"):
        MatteInput("folder,holdout")
    with pytest.raises(JobError, match="cannot be written"):
        MatteInput("m.exr", channel=" A")


def test_a_relative_path_is_anchored_and_an_absolute_one_kept():
    made = MatteInput.parse("roto/m.####.exr:A,holdout")
    assert made.anchored(Path("/show")) == replace(made, pattern="/show/roto/m.####.exr")
    assert replace(made, pattern="/x/m.exr").anchored(Path("/show")).pattern == "/x/m.exr"
