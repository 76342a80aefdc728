"""Shots and scope globs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfxswap.errors import ConsentError
from vfxswap.trust import ShotId
from vfxswap.trust.scope import is_scope, matches_any

IDENTIFIER = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True)
GLOB = st.from_regex(r"[A-Za-z0-9_*?-]{1,8}", fullmatch=True)
SHOT = st.builds(ShotId, IDENTIFIER, IDENTIFIER, IDENTIFIER)
SCOPE = st.lists(GLOB, min_size=3, max_size=3).map("/".join)


def test_parse():
    shot = ShotId.parse("show1/sq_010/sh-020A")
    assert shot.parts == ("show1", "sq_010", "sh-020A")
    assert str(shot) == "show1/sq_010/sh-020A"


@pytest.mark.parametrize(
    "text",
    [
        "../sq010/sh010",
        "show1/../sh010",
        "show1/sq010/..",
        "show1/sq010",
        "show1/sq010/sh010/extra",
        "show1//sh010",
        "/show1/sq010/sh010",
        "show1/sq010/sh010/",
        "show1/sq010/sh010\n",
        "show1/sq010/sh 010",
        "show1/sq010/*",
        "show1/sq010/-sh010",
        "show1/sq010/\u0455h010",  # Cyrillic letter that looks like s
        "show1\\sq010\\sh010",
        "show1/sq010/" + "s" * 200,
        "",
    ],
)
def test_parse_refuses(text):
    with pytest.raises(ConsentError) as caught:
        ShotId.parse(text)
    assert caught.value.code == "VS-CON-011"


@pytest.mark.parametrize(
    ("folder", "shot"),
    [
        ("sh010", "sh010"),
        ("my plate v2.final", "my-plate-v2-final"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("_x", "x"),
        ("été", "t-"),
        ("../../show1", "show1"),
    ],
)
def test_local(folder, shot):
    assert str(ShotId.local(folder)) == f"local/local/{shot}"


@given(st.text(max_size=300))
def test_local_is_always_a_shot(folder):
    shot = ShotId.local(folder)
    assert ShotId.parse(str(shot)) == shot


@given(st.text(max_size=20))
def test_parse_accepts_identifiers_only(text):
    try:
        shot = ShotId.parse(text)
    except ConsentError:
        return
    assert re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_-]*/){2}[A-Za-z0-9][A-Za-z0-9_-]*", str(shot), re.ASCII)


def reference_match(text: str, glob: str) -> bool:
    """Glob matching by recursion, to compare with."""
    if not glob:
        return not text
    if glob[0] == "*":
        return any(reference_match(text[i:], glob[1:]) for i in range(len(text) + 1))
    return bool(text) and glob[0] in ("?", text[0]) and reference_match(text[1:], glob[1:])


@given(SHOT, SCOPE)
def test_a_scope_matches_part_by_part(shot, scope):
    assert is_scope(scope)
    expected = all(reference_match(part, glob) for part, glob in zip(shot.parts, scope.split("/"), strict=True))
    assert matches_any(shot, [scope]) is expected
    if expected:  # an exclusion is never narrower than the same glob as a scope
        assert matches_any(shot, [scope], ignore_case=True)


@given(SHOT)
def test_a_shot_matches_itself_and_the_widest_scope(shot):
    assert matches_any(shot, [str(shot)])
    assert matches_any(shot, ["no/such/shot-at-all", "*/*/*"])
    assert matches_any(shot, [str(shot).swapcase()], ignore_case=True)


@given(SHOT, st.lists(GLOB, max_size=6).filter(lambda parts: len(parts) != 3).map("/".join))
def test_a_scope_of_another_depth_is_invalid_and_matches_nothing(shot, scope):
    assert not is_scope(scope)
    assert not matches_any(shot, [scope])


@given(SHOT)
def test_no_scope_matches_nothing(shot):
    assert not matches_any(shot, [])


@pytest.mark.parametrize("scope", ["*", "*/*", "**/**", "a/b/[ab]", "a/b/", "a/../c", "a/b/c d", "a/b/c\n", "//"])
def test_not_a_scope(scope):
    assert not is_scope(scope)


def test_a_nasty_glob_is_fast():
    shot = ShotId("a" * 120, "a", "a")
    assert not matches_any(shot, ["*a" * 60 + "b/*/*"])
