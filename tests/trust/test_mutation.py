"""The gate's tests notice a fault in any rule: each is broken on purpose, one at a time.

`Asked` is what is asked of the gate, and how it must answer. Under every fault at least one answer must differ.
"""

from __future__ import annotations

import types

import pytest

from vfxswap.trust import consent, keys, revocations, rules, scope

from .asked import Asked
from .mutation import mutants


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return Asked(tmp_path_factory.mktemp("asked"))


def test_the_gate_answers_as_it_must(asked: Asked):
    assert asked.wrong() == []
    assert len(asked.questions) > 80
    assert {code for code, *_ in asked.questions.values()} >= {f"VS-CON-{number:03}" for number in range(1, 15)}


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_a_rule_that_always_passes_is_noticed(asked: Asked, rule: rules.Check, monkeypatch):
    monkeypatch.setattr(rules, "RULES", tuple(one for one in rules.RULES if one is not rule))
    freed = [name for name in asked.wrong() if name.startswith("refused")]
    assert freed
    code = {asked.questions[name][0] for name in freed}
    assert any(number in (rule.__doc__ or "") for number in {text[-3:] for text in code})


GATE = {
    rules: (),
    consent: (),
    revocations: (),
    scope: (),
    # Making and opening keys has tests of its own, in test_keys.py.
    keys: ("PublicKey", "KeyRing", "_worth"),
}
SAME = {
    "KeyRing.load: `folder is None` is always False": "the default ring: test_keys.py",
}
"""Faults that change nothing here, and why."""


@pytest.mark.parametrize("module", GATE, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_fault_in_any_condition_is_noticed(asked: Asked, module: types.ModuleType):
    unnoticed, count = [], 0
    for mutant in mutants(module):
        if GATE[module] and not mutant.name.startswith(GATE[module]):
            continue
        count += 1
        with mutant.alive():
            if not asked.notices() and mutant.name.partition(" (line")[0] not in SAME:
                unnoticed.append(mutant.name)
    assert count > 10
    assert unnoticed == [], "\n".join(unnoticed)
