"""Warm start: a new run takes its first weights from another training.

The encoder is taken always. Decoders and the judge are taken for performers that both trainings have; others begin
anew. What the other training stood on, the new one stands on too: its consents and facesets become the first entries
of `earlier`, with its performers, and export asks for their consents as well (package).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional

from vfxswap import archive
from vfxswap.errors import ModelError
from vfxswap.train import checkpoint, uses
from vfxswap.train.adversarial import Pair
from vfxswap.train.checkpoint import Earlier, Provenance, State, WarmStart
from vfxswap.trust import Grant
from vfxswap.trust.refusals import Rule, refusal
from vfxswap.vfxmodel import Performers


@dataclass(frozen=True)
class Source:
    """A training that another one can begin from, and the leave to use what it holds."""

    folder: Path
    state: State
    grants: tuple[Grant, ...]

    @staticmethod
    def open(folder: Path, *, grants: tuple[Grant, ...]) -> Source:
        """Read a training folder; raises ModelError, or ConsentError when the grants do not cover all it stands on."""
        state = checkpoint.load_state(folder)
        if state is None:
            raise ModelError(f"no training in {folder}", hint="--from takes the folder of a training")
        if not state.consents or not state.data:
            raise ModelError("the training does not say its consents and data", path=folder / checkpoint.STATE)
        for performers, part in stands_on(state):
            check_covered(performers, part, grants)
        return Source(folder, state, grants)


def stands_on(state: State) -> Iterator[tuple[Performers, Provenance]]:
    """All performers whose faces are in a training, with the newest consents and facesets recorded for them."""
    newest: dict[tuple[str, str], tuple[Performers, Provenance]] = {}
    own = Provenance(consents=state.consents, data=state.data)
    for performers, part in (*((p.performers or state.performers, p) for p in state.earlier), (state.performers, own)):
        newest[(performers.likeness, performers.double)] = (performers, part)
    yield from newest.values()


def check_covered(performers: Performers, part: Provenance, grants: tuple[Grant, ...]) -> None:
    """Refuse (VS-CON-014) unless a grant is for these performers and stands on the very consents recorded."""
    held = {
        (ref.id, ref.sha256) for grant in grants if grant.performers == performers.by_role() for ref in grant.consents
    }
    for consent in part.consents:
        if (consent.get("id"), consent.get("sha256")) not in held:
            raise refusal(
                Rule.GRANT,
                f"the training stands on consent {consent.get('id')}, the grant does not",
                hint="give the consents it was trained under, or go on training under the new ones",
            )


def renewed(state: State, grants: tuple[Grant, ...]) -> tuple[Earlier, ...]:
    """Going on with a training that began from another: leave for the other's performers is needed again.

    Returns:
        What to record for performers whose consents are not the ones recorded before.

    Raises:
        ConsentError: VS-CON-014, there is no grant for performers that the training stands on.
    """
    found = []
    for performers, part in stands_on(state):
        if performers == state.performers:
            continue
        refs = next((grant.consents for grant in grants if grant.performers == performers.by_role()), None)
        if refs is None:
            raise refusal(
                Rule.GRANT,
                f"the training began from one of {performers.likeness} over {performers.double}, the grants do not",
                hint="give the consents of these performers too",
            )
        consents = tuple(ref.entry() for ref in refs)
        if consents != part.consents:
            found.append(Earlier(consents=consents, data=part.data, until=state.step, performers=performers))
    return tuple(found)


def begin(pair: Pair, source: Source, *, state: State) -> tuple[WarmStart, tuple[Earlier, ...]]:
    """Put another training's weights into a new pair.

    Args:
        pair: fresh; changed in place.
        source: where from.
        state: of the new run, for its architecture, encoding and performers.

    Returns:
        What to record: where the weights come from, and what they stand on.

    Raises:
        ModelError: the networks differ, or the checkpoint is damaged.
    """
    old, tensors = source.state, checkpoint.load_tensors(source.folder, source.state)
    # As JSON: what is read back has lists where a fresh config has tuples.
    more = int(state.network.get("condition") or 0)
    learns = more if not old.network.get("condition") else 0
    if (old.architecture, _plain(old.network, learns)) != (state.architecture, _plain(state.network, learns)):
        raise ModelError(
            f"the training in {source.folder} has another network (preset {old.config.preset})",
            hint=f"use --preset {old.config.preset}, or begin without --from",
        )
    if old.config.encoding != state.config.encoding:
        raise ModelError(
            f"the training in {source.folder} is in {old.config.encoding}",
            hint=f"use --encoding {old.config.encoding}, or begin without --from",
        )
    taken = _take(pair, tensors, old.performers, state.performers, learns=learns)
    record = WarmStart(
        name=source.folder.resolve().name,
        state_sha256=archive.sha256((source.folder / checkpoint.STATE).read_bytes()),
        step=old.step,
        taken=taken,
    )
    before = (
        *(p.model_copy(update={"performers": p.performers or old.performers, "until": 0}) for p in old.earlier),
        Earlier(consents=old.consents, data=old.data, until=0, performers=old.performers),
    )
    return record, before


def _plain(network: Mapping[str, Any], learns: int) -> Any:
    """What must agree: all sizes but of what may begin anew: finding occluders, detail, hearing what it is told."""
    free = {"occlusion", "detail", "condition"} if learns else {"occlusion", "detail"}
    return json.loads(json.dumps({name: value for name, value in network.items() if name not in free}))


def _take(
    pair: Pair, tensors: Mapping[str, Tensor], old: Performers, new: Performers, *, learns: int = 0
) -> tuple[str, ...]:
    """Copy averaged weights into the painter and its average, and the judge of the same likeness.

    A network that `learns` to be told so many numbers beside the code paints at first as if it heard none of them.
    """
    heirs = uses.heirs(new, of=old)
    more = [part for part in ("occlusion.", "detail.") if any(key.startswith(f"average/{part}") for key in tensors)]
    prefixes = {prefix: prefix for prefix in ("encoder.", "bridge.", *more)}
    prefixes |= {f"decoders.{ours}.": f"decoders.{theirs}." for ours, theirs in heirs.items()}
    for prefix, theirs in prefixes.items():
        for module in (pair.net, pair.average):
            own = {key: value for key, value in module.state_dict().items() if key.startswith(prefix)}
            found = {key: tensors.get(f"average/{theirs}{key.removeprefix(prefix)}") for key in own}
            checkpoint.fill(own, {key: _deaf(value, own[key], learns) for key, value in found.items()})
    taken = ["encoder", *sorted(f"decoder of {b}" + (f" for {a}" if a != b else "") for a, b in heirs.items())]
    if old.likeness == new.likeness:
        checkpoint.unpack("judge", pair.judge, tensors)
        taken.append("judge")
    return tuple(taken)


def _deaf(weight: Tensor | None, wanted: Tensor, learns: int) -> Tensor | None:
    """A layer's weight with zeros for `learns` further inputs, where that makes it fit."""
    if weight is None or not learns or weight.ndim != 2 or wanted.shape[1] != weight.shape[1] + learns:
        return weight
    return functional.pad(weight, (0, learns))
