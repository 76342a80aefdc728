"""The published JSON Schemas are those of the code, and what is written validates."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from vfxswap.provenance import manifest, schemas, shards

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.parametrize("name", schemas.PUBLISHED)
def test_the_published_schema_is_the_codes(name: str):
    text = json.dumps(schemas.json_schema(name), indent=2) + "\n"
    assert (SCHEMAS / f"{name}.json").read_text(encoding="utf-8") == text


def test_what_is_written_validates_and_other_things_do_not(signed: Path):
    shard = json.loads(shards.path(signed, "out", 1001).read_bytes())
    statement = json.loads(manifest.read(signed / "out.provenance.json").payload)
    for name, value in (("shard", shard), ("manifest", statement)):
        schema = jsonschema.Draft202012Validator(schemas.json_schema(name))
        schema.validate(value)
        assert not schema.is_valid({**value, "more": 1})
        assert not schema.is_valid({key: item for key, item in value.items() if key not in ("files", "subject")})
