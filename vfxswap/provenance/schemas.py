"""JSON Schemas of the records, as published in docs/schemas: what other tools need to read them.

A schema cannot say everything that is checked: that the subjects are the frames' files, that hashes fit.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from vfxswap.provenance.records import Shard, Statement

PUBLISHED: dict[str, TypeAdapter[Any]] = {"shard": TypeAdapter(Shard), "manifest": TypeAdapter(Statement)}
"""File name without suffix -> what it describes; `manifest` is the statement, decoded from its DSSE envelope."""


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one of `PUBLISHED`."""
    found = PUBLISHED[name].json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
