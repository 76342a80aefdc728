"""The published schemas are those of the documents, and accept and refuse what the gate's reader does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import trust
from vfxswap.errors import ConsentError
from vfxswap.trust.canonical import parse_document
from vfxswap.trust.records import ConsentRecord
from vfxswap.trust.schemas import PUBLISHED, json_schema

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo" / "trust"


def published(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(published(name))


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_is_what_is_read(name: str):
    """After a change: json.dumps(json_schema(name), indent=2) + newline into the file."""
    jsonschema.Draft202012Validator.check_schema(published(name))
    assert published(name) == json_schema(name)


def test_documents_that_are_made_fit(studio):
    path = studio.consent("ben", delete_model_by=studio.end, contract_sha256="0" * 64)
    validator("consent").validate(json.loads(path.read_text()))
    validator("consent").validate(studio.record("anna", models="any"))
    validator("consent-revocations").validate(json.loads((studio.ring_folder / "revocations.json").read_text()))
    for key in studio.ring_folder.glob("*.pub.json"):
        validator("consent-key").validate(json.loads(key.read_text()))


def test_the_demos_documents_fit():
    for path in sorted(DEMO.glob("*.consent.json")):
        validator("consent").validate(json.loads(path.read_text()))
    validator("consent-revocations").validate(json.loads((DEMO / "keyring" / "revocations.json").read_text()))


GOOD: dict[str, Any] = {
    "schema": "vfxswap.consent/1",
    "id": "urn:uuid:00000000-0000-4000-8000-000000000000",
    "performer": {"id": "P-1"},
    "grantor": "self",
    "roles": ["likeness"],
    "uses": ["swap"],
    "purpose": "A shot.",
    "scope": ["show1/sq010/*"],
    "not_before": "2026-01-01T00:00:00Z",
    "not_after": "2027-01-01T00:00:00Z",
    "territories": ["*"],
    "prohibited": [],
}
CHANGED: dict[str, list[Any]] = {
    "schema": ["vfxswap.consent/2", None],
    "id": ["urn:uuid:0", "URN:UUID:00000000-0000-4000-8000-000000000000"],
    "performer": [{"id": "../x"}, {"id": ""}, {"id": "x", "legal_name": "Ben"}, {}],
    "grantor": ["friend"],
    "roles": [[], ["source"]],
    "uses": [[], ["swap", "view"]],
    "purpose": ["", "  "],
    "scope": [[], ["show1/*"], ["a/b/c/d"], ["a/../c"], ["a/b/[c]"]],
    "scope_exclude": [["*"], [1]],
    "not_before": ["2026-01-01", "2026-01-01T00:00:00+00:00", 0],
    "territories": [[], [""]],
    "prohibited": [None, [""]],
    "models": ["all", ["AB" * 32], ["ab"], 1],
    "retention": [{}, {"delete_model_by": "2027"}],
    "reference_embeddings": [{}, {"model_sha256": "0" * 64, "file_sha256": "0" * 64, "threshold": 9}],
    "contract_sha256": ["0" * 63, ""],
    "more": [1],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in CHANGED.items() for value in values])
def test_both_refuse_the_same(field: str, value: Any):
    record = {**GOOD, field: value}
    assert not validator("consent").is_valid(record)
    with pytest.raises(ConsentError, match="VS-CON-012"):
        parse_document(ConsentRecord, json.dumps(record).encode())


@pytest.mark.parametrize("field", GOOD)
def test_both_need_the_same_fields(field: str):
    record = {key: value for key, value in GOOD.items() if key != field}
    assert not validator("consent").is_valid(record)
    with pytest.raises(ConsentError):
        parse_document(ConsentRecord, json.dumps(record).encode())


@settings(max_examples=60, deadline=None)
@given(
    models=st.one_of(
        st.just("any"), st.none(), st.lists(st.text("0123456789abcdefA", min_size=63, max_size=65), max_size=3)
    ),
    threshold=st.floats(-1, 2, allow_nan=False),
    scope=st.lists(st.text("ab*?/.", max_size=7), max_size=2),
)
def test_both_say_the_same_of_anything(models: Any, threshold: float, scope: list[str]):
    named = {"model_sha256": "0" * 64, "file_sha256": "1" * 64, "threshold": threshold}
    record = {**GOOD, "models": models, "scope": scope, "reference_embeddings": named}
    try:
        parse_document(ConsentRecord, json.dumps(record).encode())
        read = True
    except ConsentError:
        read = False
    assert validator("consent").is_valid(record) == read


def test_a_record_can_be_written_by_another_program(studio, tmp_path: Path):
    """Nothing but the schema and JSON: the record is signed and verified like any other."""
    path = tmp_path / "made.json"
    record = {**GOOD, "performer": {"id": "ben"}, "not_before": "2026-02-01T00:00:00Z"}
    validator("consent").validate(record)
    path.write_text(json.dumps(record))
    for kid in ("perf-ben", "prod"):
        trust.sign(path, key_file=studio.private(kid), passphrase=studio.passphrase)
    assert trust.verify(path, studio.ring, clock=studio.clock()).ok
