"""docs/publish.md has every message, its cause and its repair, in the words of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vfxswap.publish import RULES, Area, Rule
from vfxswap.trust import Rule as Refusal

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "publish.md").read_text(encoding="utf-8")


def row(rule: Rule) -> str:
    warning = " (warning)" if rule.warning else ""
    button = f" (`{rule.repair}`)" if rule.repair else ""
    return f"| {rule.code}{warning} | {rule.says} | {rule.cause} | {rule.do}{button} |"


def test_every_rule_is_a_row_and_every_row_a_rule() -> None:
    there = [line for line in PAGE.splitlines() if re.match(r"\| VS-[A-Z]+-\d+", line)]
    assert there == [row(rule) for rule in RULES]


def test_codes_are_unique_and_say_their_area() -> None:
    prefixes = {Area.SEQUENCE: "SEQ", Area.IMAGE: "IMG", Area.COLOR: "COL", Area.METADATA: "MET", Area.MATTE: "MAT",
                Area.TEMPORAL: "TMP", Area.CONSENT: "CON", Area.MODEL: "MOD", Area.PROVENANCE: "PRV"}  # fmt: skip
    codes = [rule.code for rule in RULES]
    assert len(set(codes)) == len(codes)
    assert {rule.area for rule in RULES} == set(Area)
    assert all(rule.code.split("-")[1] == prefixes[rule.area] for rule in RULES)


@pytest.mark.parametrize("code", [rule.value for rule in Refusal])
def test_a_refusal_of_the_gate_is_explained_where_the_page_points(code: str) -> None:
    assert f"| {code} |" in (ROOT / "docs" / "consent.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("area", list(Area))
def test_every_validator_is_on_the_page(area: Area) -> None:
    assert re.search(rf"^\| {area} \| \w", PAGE, re.MULTILINE)
