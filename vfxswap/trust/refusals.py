"""The refusals of the consent gate: one code for each rule, so that scripts and people name the same thing."""

from __future__ import annotations

import os
from enum import StrEnum

from vfxswap.errors import ConsentError


class Rule(StrEnum):
    """Which rule refused. The values are a contract (docs/consent.md); a number is never reused."""

    MISSING = "VS-CON-001"  # no consent of this performer was given
    SIGNATURE = "VS-CON-002"  # a signature is missing, invalid, or made by a key that may not make it
    DATES = "VS-CON-003"  # not yet valid, no longer valid, or the model had to be deleted
    REVOKED = "VS-CON-004"  # withdrawn
    LIST_INVALID = "VS-CON-005"  # revocation list missing, unsigned, wrongly signed or dated in the future
    LIST_STALE = "VS-CON-006"  # revocation list past its next update
    ROLE = "VS-CON-007"  # the performer did not consent to this role
    USE = "VS-CON-008"  # the performer did not consent to this use
    SCOPE = "VS-CON-009"  # the shot is outside the scope
    MODEL = "VS-CON-010"  # the model is not one that was consented to
    IDENTIFIER = "VS-CON-011"  # a shot, performer or scope that is not well formed
    DOCUMENT = "VS-CON-012"  # not a document of the kind that is needed
    RING = "VS-CON-013"  # the key ring is missing or contradicts itself
    GRANT = "VS-CON-014"  # a grant that was made by hand, or does not cover what is about to happen
    REFERENCE = "VS-CON-015"  # the consent's reference file is missing or another, or the faces are not consistent


def refusal(rule: Rule, message: str, *, hint: str, path: str | os.PathLike[str] | None = None) -> ConsentError:
    """A ConsentError (exit 77) whose `code` is the rule's and whose one line starts with it."""
    error = ConsentError(f"{rule.value} {message}", hint=hint, path=path)
    error.code = rule.value
    return error
