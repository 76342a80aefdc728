"""The grammar of Nuke scripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfxswap.errors import TrackError
from vfxswap.face.export import nk

# As Nuke writes them: a gizmo's group with escaped Tcl and Python, an animated grade, XML in a command of its own.
SCRIPT = r"""#! /usr/local/Nuke15.1/libnuke-15.1.2.so -nx
version 15.1 v2
define_window_layout_xml {<?xml version="1.0" encoding="UTF-8"?>
<layout version="1.0"> <dock id="" activePageId="DAG.1"/> </layout>
}
Root {
 inputs 0
 name /jobs/sh 010/comp.nk
 first_frame 1001
}
Read {
 inputs 0
 file "\[value parent.folder]/p l.%04d.exr"
 name Read1
}
set N30c58000 [stack 0]
push $N30c58000
Group {
 name Inside
 knobChanged "if k.name() == \"a\":\n  n\[\"b\"].setValue(\"\{\}\")"
 addUserKnob {20 User l "A tab"}
 addUserKnob {7 mix R 0 1}
 mix {{curve x1001 0 x1005 1 L s0.25 t0.5 u1 v1}}
}
 Input {
  inputs 0
  name Input1
 }
 Group {
  name Deeper
 }
  Grade {
   white {1 {curve K x1 0.5 0.75} 1 1}
   name Grade1
  }
 end_group
 Output {
  name Output1
 }
end_group
"""


def test_nodes_of_a_script():
    nodes = nk.parse(SCRIPT)
    assert [node.kind for node in nodes] == ["Root", "Read", "Group"]
    assert [node.kind for node in nk.every(nodes)] == ["Root", "Read", "Group", "Input", "Group", "Grade", "Output"]
    assert nodes[1].text("file") == "[value parent.folder]/p l.%04d.exr"
    group = nodes[2]
    assert group.text("knobChanged") == 'if k.name() == "a":\n  n["b"].setValue("{}")'
    (mix,) = nk.words(group.text("mix"))
    assert nk.number_or_curve(mix) == {1001: 0, 1005: 1}
    grade = group.children[1].children[0]
    white = [nk.number_or_curve(word) for word in nk.words(grade.text("white"))]
    assert white == [1.0, {1.0: 0.5, 2.0: 0.75}, 1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Grade {\n name a\n", "brace"),
        ('Grade {\n name "a\n}\n', "quote"),
        ("Group {\n name a\n}\nBlur {\n}\n", "group does not end"),
        ("Blur {\n}\nend_group\n", "without a group"),
    ],
)
def test_broken_scripts_are_refused_in_a_line(text, words):
    with pytest.raises(TrackError, match=words) as caught:
        nk.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("curve x1001 1 2 3", {1001: 1, 1002: 2, 1003: 3}),
        ("curve x1 1 x6 2 3 4", {1: 1, 6: 2, 11: 3, 16: 4}),
        ("curve -1 -2.5", {0: -1, 1: -2.5}),
        ("curve i K x-5 1 L x0 1e-3 s0 t0 u1 v1 C x2.5 7", {-5: 1, 0: 0.001, 2.5: 7}),
        ("curve", {}),
        ("", {}),
        ("12.5", 12.5),
        ("-.5", -0.5),
        ("1e+03", 1000.0),
    ],
)
def test_curves(text, expected):
    assert nk.number_or_curve(nk.Word(text)) == expected


@pytest.mark.parametrize("text", ["parent.x", "curve x1 a", "=sin(frame)", "curve*2 x1 3", "curve xa 1"])
def test_expressions_are_refused(text):
    with pytest.raises(TrackError, match="bake"):
        nk.number_or_curve(nk.Word(text))


@given(st.dictionaries(st.integers(-2000, 9000), st.floats(-1e5, 1e5), min_size=1, max_size=40))
def test_curves_are_read_as_they_were_written(keys):
    frames = sorted(keys)
    text = nk.curve(frames, [keys[frame] for frame in frames])
    (word,) = nk.words(text)
    found = nk.number_or_curve(word)
    assert isinstance(found, dict)
    assert list(found) == frames
    for frame in frames:
        assert found[frame] == pytest.approx(keys[frame], abs=0.5e-4 + 1e-9)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30))
def test_strings_are_read_as_they_were_written(text):
    text = text.replace("\r", " ")
    (word,) = nk.words(nk.quoted(text))
    assert word == nk.Word(text)
