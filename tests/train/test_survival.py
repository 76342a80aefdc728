"""What a training survives: short memory, and being taken up elsewhere; and what it says of itself meanwhile."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vfxswap import trust
from vfxswap.errors import ConsentError, FacesetError, ModelError, ResourceError, UsageError
from vfxswap.models import preset
from vfxswap.train import checkpoint, forecast, package, warm
from vfxswap.train.adversarial import Pair
from vfxswap.train.bank import Bank
from vfxswap.train.data import Batch
from vfxswap.train.joined import MOST, digests, join_banks, without_broken
from vfxswap.train.loop import Trainer
from vfxswap.train.memory import Parts, is_out_of_memory
from vfxswap.trust import Grant, Role, ShotId
from vfxswap.vfxmodel import Performers

from .. import support
from . import synthetic

HUNGRY = Path(__file__).with_name("hungry.py")


# ------------------------------------------------------------------------------------------------ memory


def pair(size: int) -> Pair:
    return Pair(
        preset("test"),
        architecture="autoencoder",
        likeness="ben",
        double="anna",
        config=synthetic.config(steps=100),
        device=torch.device("cpu"),
        bf16=False,
        parts=Parts(size=size),
    )


def gradients(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


BEN, ANNA = synthetic.batch(synthetic.BEN, count=8), synthetic.batch(synthetic.ANNA, count=8)


@pytest.mark.parametrize("size", [4, 2, 6])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(size: int) -> None:
    found = []
    for one in (pair(0), pair(size)):
        one._settle()
        painted, values = one._painter_gradients(BEN, ANNA, step=3, spent=0.9)
        values |= one._judge_gradients(BEN, ANNA, painted, penalty=True)
        found.append((values, gradients(one.net), gradients(one.judge), painted))
    (values, painter, judge, painted), (parted, painter_parted, judge_parted, painted_parted) = found
    assert values == pytest.approx(parted, abs=1e-5)
    assert float((painter - painter_parted).abs().max()) < 1e-5
    assert float((judge - judge_parted).abs().max()) < 1e-5
    assert float(painter.abs().max()) > 1e-2  # there is something to compare
    assert torch.allclose(painted.codes, painted_parted.codes, atol=1e-5)


def test_a_step_in_parts_is_the_step() -> None:
    whole, parted = pair(0), pair(2)
    for step in range(4):
        one, two = (each.step(BEN, ANNA, step=step, spent=0.9) for each in (whole, parted))
        assert one is not None
        assert one == pytest.approx(two, abs=1e-4)


def hungry(*arguments: int) -> dict[str, Any]:
    # One arena: the allocator reserves 64 MiB of address space for every further thread that happens to meet another,
    # and the limit counts that.
    done = subprocess.run(
        [sys.executable, str(HUNGRY), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space that allocations respect")
def test_short_of_memory_the_batch_is_computed_in_parts() -> None:
    free, short = hungry(32), hungry(32, 250_000_000)
    assert (free["at_once"], free["said"]) == (0, [])
    assert 1 <= short["at_once"] <= 16
    assert short["said"][0] == (
        "memory: out of memory with 32 crops of each performer at once: now 16 at a time, the batch is still 32"
    )
    assert short["losses"] == pytest.approx(free["losses"], abs=1e-5)
    none = hungry(32, 1_000_000)
    assert none["code"] == 3
    assert none["error"].startswith("out of memory; close other programs")


def test_what_is_no_lack_of_memory_is_not_taken_for_one() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert is_out_of_memory(RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"))

    def broken(_part: slice, _share: float) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        Parts().run(8, broken, clear=lambda: None)


def test_parts_are_halved_until_nothing_is_left() -> None:
    seen: list[slice] = []

    def hungry_beyond(most: int) -> Any:
        def work(part: slice, share: float) -> float:
            seen.append(part)
            if part.stop - part.start > most:
                raise MemoryError
            return share

        return work

    parts = Parts()
    assert sum(parts.run(10, hungry_beyond(3), clear=seen.clear)) == pytest.approx(1)
    assert [(part.start, part.stop) for part in seen] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert parts.size == 3
    with pytest.raises(ResourceError, match="out of memory"):
        parts.run(10, hungry_beyond(0), clear=seen.clear)


def test_a_resumed_run_keeps_its_parts(tmp_path: Path, studio: support.Studio) -> None:
    one = synthetic.trainer(tmp_path, studio, steps=2)
    one.pair.parts.size = 3
    one.run()
    assert synthetic.trainer(tmp_path, studio, steps=3).pair.parts.size == 3
    assert synthetic.trainer(tmp_path, studio, steps=3, batch=8).pair.parts.size == 0
    assert synthetic.trainer(tmp_path, studio, steps=3, micro_batch=2).pair.parts.size == 2


# ------------------------------------------------------------------------------------------------ several facesets


def moved(bank: Bank, plate: str) -> Bank:
    """The bank as crops of another plate."""
    return dataclasses.replace(
        bank, crops=tuple(dataclasses.replace(c, plate=plate, frame=i) for i, c in enumerate(bank.crops))
    )


def test_facesets_of_a_performer_are_one_bank() -> None:
    main, more = (
        moved(synthetic.bank(synthetic.BEN, count=count, digest=digest), digest)
        for count, digest in ((24, "one"), (6, "two"))
    )
    joined = join_banks([main, more])
    assert len(joined) == 30
    assert joined.chance.sum() == pytest.approx(1)
    # Six crops that count four times as much as each of the twenty-four: half of the draws.
    assert joined.chance[24:].sum() == pytest.approx(0.5)
    assert joined.held_out == (*main.held_out, *(24 + i for i in more.held_out))
    assert all(joined.chance[i] == 0 for i in joined.held_out)
    assert torch.equal(joined.rgb[24:], more.rgb)
    assert digests("double", joined) == {"double": "one", "double 2": "two"}
    assert join_banks([main]) is main


def test_further_facesets_never_drown_the_first() -> None:
    main, more = (moved(synthetic.bank(synthetic.BEN, count=24), str(i)) for i in range(2))
    joined = join_banks([main, more, moved(more, "third")])
    assert joined.chance[24:].sum() == pytest.approx(MOST)


def test_a_crop_of_another_size_is_fitted() -> None:
    main, small = synthetic.bank(synthetic.BEN, raster=80), synthetic.bank(synthetic.BEN, raster=60)
    joined = join_banks([main, moved(small, "other")])
    assert joined.rgb.shape[-1] == 80
    assert np.allclose(joined.crops[24].landmarks, main.crops[0].landmarks, atol=1e-6)
    assert float((joined.rgb[24:].float() - main.rgb.float()).abs().mean()) < 0.02


def test_a_frame_that_is_trained_on_scores_nothing() -> None:
    main = moved(synthetic.bank(synthetic.BEN, count=24), "plate")
    worst = dataclasses.replace(
        moved(synthetic.bank(synthetic.BEN, count=6), "plate"),
        crops=tuple(dataclasses.replace(main.crops[i], frame=i) for i in range(2, 8)),
    )
    assert main.held_out == (5, 15)  # frame 5 is the fourth crop of the worst, which is drawn
    assert worst.held_out == (5,)  # frame 7, which the main bank draws
    assert join_banks([main, worst]).held_out == (15,)
    # The same frames once more: those that score are drawn in neither.
    again = join_banks([main, dataclasses.replace(main, held_out=(2,), chance=np.full(24, 1 / 24))])
    assert again.held_out == (5, 15)
    assert again.chance[[5, 15, 24 + 5, 24 + 15]].tolist() == [0, 0, 0, 0]
    assert again.chance.sum() == pytest.approx(1)


def test_facesets_of_two_performers_are_no_bank() -> None:
    with pytest.raises(UsageError, match="the facesets are of anna and ben"):
        join_banks([synthetic.bank(synthetic.BEN), synthetic.bank(synthetic.ANNA)])


def test_a_model_records_every_faceset(tmp_path: Path, studio: support.Studio) -> None:
    said: list[str] = []
    synthetic.trainer(tmp_path, studio, steps=2).run()
    both = join_banks([synthetic.bank(synthetic.ANNA), moved(synthetic.bank(synthetic.ANNA, count=6, digest="w"), "w")])
    synthetic.trainer(tmp_path, studio, steps=4, double=both, warn=lambda _code, message: said.append(message)).run()
    assert said == ["the faceset of the double is not the one of the first 2 steps: the model will record both"]
    state = checkpoint.load_state(tmp_path)
    assert state is not None
    assert state.data == {"likeness": "d", "double": "d", "double 2": "w"}
    assert state.earlier[0].data == {"likeness": "d", "double": "d"}
    card = package.export_model(tmp_path, tmp_path / "m.vfxmodel", grant=synthetic.grant(studio))
    assert card.data == state.data


def test_a_bank_without_a_whole_crop_is_refused() -> None:
    bank = synthetic.bank(synthetic.BEN)
    mask = bank.mask.clone()
    mask[list(bank.held_out), 0, 0, 0] = float("inf")
    with pytest.raises(FacesetError, match="2 of 24 crops of ben"):
        without_broken(dataclasses.replace(bank, mask=mask), warn=lambda _code, _message: None)


# ------------------------------------------------------------------------------------------------ warm start


def leave(studio: support.Studio, likeness: str = "ben", double: str = "anna") -> Grant:
    return studio.gate().authorize(
        shot=ShotId.local("tests"), use="train", performers={"likeness": likeness, "double": double}
    )


@pytest.fixture
def old(tmp_path: Path, studio: support.Studio) -> Path:
    synthetic.trainer(tmp_path / "old", studio, steps=6, adversary_from=0.5).run()
    return tmp_path / "old"


def begun(folder: Path, studio: support.Studio, old: Path, **fields: Any) -> Trainer:
    source = warm.Source.open(old, grants=(leave(studio),))
    return synthetic.trainer(folder, studio, source=source, **{"seed": 9, "steps": 3, **fields})


def test_a_warm_start_takes_what_both_have(tmp_path: Path, studio: support.Studio, old: Path) -> None:
    state = checkpoint.load_state(old)
    assert state is not None
    tensors = checkpoint.load_tensors(old, state)
    new = begun(tmp_path / "new", studio, old)
    for module in (new.pair.net, new.pair.average):
        assert all(torch.equal(value, tensors[f"average/{key}"]) for key, value in module.state_dict().items())
    assert all(torch.equal(value, tensors[f"judge/{key}"]) for key, value in new.pair.judge.state_dict().items())
    assert new._scores() == pytest.approx(state.scores)

    new.run()
    found = checkpoint.load_state(tmp_path / "new")
    assert found is not None
    assert found.warm_start is not None
    assert (found.warm_start.name, found.warm_start.step) == ("old", 6)
    assert found.warm_start.taken == ("encoder", "decoder of anna", "decoder of ben", "judge")
    (part,) = found.earlier
    assert (part.until, part.performers, part.consents) == (0, state.performers, state.consents)
    card = package.export_model(tmp_path / "new", tmp_path / "m.vfxmodel", grant=synthetic.grant(studio))
    assert card.training["warm_start"]["step"] == 6
    assert card.training["earlier"][0]["consents"] == list(card.consents)


def test_of_other_performers_the_encoder_alone_is_taken(studio: support.Studio) -> None:
    stranger = Pair(
        preset("test"),
        architecture="autoencoder",
        likeness="carl",
        double="dora",
        config=synthetic.config(steps=100, seed=5),
        device=torch.device("cpu"),
        bf16=False,
    )
    one, before = pair(0), pair(0)
    people = (Performers(likeness="carl", double="dora"), Performers(likeness="ben", double="anna"))
    assert warm._take(one, stranger.tensors(), *people) == ("encoder",)
    for name, weight in one.net.named_parameters():
        source = stranger.average if name.startswith("encoder.") else before.net
        assert torch.equal(weight, source.get_parameter(name)), name
    assert torch.equal(gone(one.judge), gone(before.judge))


def gone(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def swapped_roles(studio: support.Studio, root: Path) -> tuple[Path, ...]:
    """Consents of anna as a likeness and ben as a double: other performers than ben over anna, to a gate."""
    found = []
    people: tuple[tuple[str, Role], ...] = (("anna", "likeness"), ("ben", "double"))
    for performer, role in people:
        record = trust.new_consent(
            performer=performer,
            roles=[role],
            uses=["train"],
            purpose="Tests.",
            scope=["*/*/*"],
            not_before=datetime.now(UTC).replace(microsecond=0) - timedelta(days=1),
            not_after=datetime.now(UTC).replace(microsecond=0) + timedelta(days=9),
            models="any",
        )
        path = root / f"{performer}.{role}.json"
        trust.write_record(path, record)
        for kid in (f"perf-{performer}", "prod"):
            key = studio.root / "private" / f"{kid}.key.pem"
            trust.sign(path, key_file=key, passphrase=support.PASSPHRASE)
        found.append(path)
    return tuple(found)


def test_what_a_warm_start_stands_on_is_asked_for_every_time(tmp_path: Path, studio: support.Studio) -> None:
    """anna over ben, then ben over anna from it: beginning, going on and exporting need the consents of both."""

    def both(consents: tuple[Path, ...]) -> Grant:
        gate = trust.Gate(trust.KeyRing.load(studio.keyring), consents)
        people: dict[Role, str] = {"likeness": "anna", "double": "ben"}
        return gate.authorize(shot=ShotId.local("tests"), use="train", performers=people)

    consents = swapped_roles(studio, tmp_path)
    theirs = both(consents)
    banks: dict[str, Any] = {"likeness": synthetic.bank(synthetic.ANNA), "double": synthetic.bank(synthetic.BEN)}
    Trainer(tmp_path / "old", config=synthetic.config(steps=2), grant=theirs, device="cpu", **banks).run()

    with pytest.raises(ConsentError, match="VS-CON-014 the training stands on consent"):
        warm.Source.open(tmp_path / "old", grants=(leave(studio),))
    source = warm.Source.open(tmp_path / "old", grants=(theirs,))
    folder, out = tmp_path / "new", tmp_path / "m.vfxmodel"
    synthetic.trainer(folder, studio, steps=2, source=source).run()
    assert package.read_others(folder) == (Performers(likeness="anna", double="ben"),)

    with pytest.raises(ConsentError, match="the training began from one of anna over ben"):
        synthetic.trainer(folder, studio, steps=3)
    synthetic.trainer(folder, studio, steps=3, others=(theirs,)).run()

    with pytest.raises(ConsentError, match="VS-CON-014 the training stands on consent"):
        package.export_model(folder, out, grant=leave(studio))
    assert not out.exists()
    card = package.export_model(folder, out, grant=leave(studio), others=(theirs,))
    assert card.training["earlier"][0]["performers"] == {"likeness": "anna", "double": "ben"}

    # Renewed consents: refused at export until training went on under them.
    (tmp_path / "renewed").mkdir()
    renewed = both(swapped_roles(studio, tmp_path / "renewed"))
    with pytest.raises(ConsentError, match="go on training under the new ones"):
        package.export_model(folder, out, grant=leave(studio), others=(renewed,))
    synthetic.trainer(folder, studio, steps=4, others=(renewed,)).run()
    package.export_model(folder, out, grant=leave(studio), others=(renewed,))
    with pytest.raises(ConsentError, match="VS-CON-014"):
        package.export_model(folder, out, grant=leave(studio), others=(theirs,))


def test_another_network_is_refused(tmp_path: Path, studio: support.Studio, old: Path) -> None:
    with pytest.raises(ModelError, match="is in srgb"):
        begun(tmp_path / "new", studio, old, encoding="acescct")
    path = old / checkpoint.STATE
    text = json.loads(path.read_text())
    path.write_text(json.dumps({**text, "network": {**text["network"], "code": 48}}))
    with pytest.raises(ModelError, match="has another network"):
        begun(tmp_path / "new", studio, old)
    with pytest.raises(ModelError, match="no training in"):
        warm.Source.open(tmp_path / "nothing", grants=())
    assert not (tmp_path / "new").exists()


# ------------------------------------------------------------------------------------------------ forecasts


def curve(count: int, *, noise: float = 0.0, every: float = 60.0) -> tuple[list[float], list[float]]:
    random = np.random.default_rng(4)
    times = [every * (i + 1) for i in range(count)]
    return times, [18 + 1.5 * math.log(t) + noise * random.normal() for t in times]


def test_a_curve_goes_on_as_it_was() -> None:
    times, scores = curve(12)
    found = forecast.forecast(times, scores, end=3600)
    assert found is not None
    assert found.value == pytest.approx(18 + 1.5 * math.log(3600), abs=1e-6)
    assert found.next_db == pytest.approx(720 * (math.exp(1 / 1.5) - 1))


def test_the_spread_holds_what_comes() -> None:
    """Of many noisy curves, the end lies within the spread nearly always, and the spread is not the whole range."""
    inside = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        times, scores = curve(12)
        found = forecast.forecast(times, [s + 0.15 * random.normal() for s in scores], end=3600)
        assert found is not None
        assert 0.2 < found.spread < 2.5
        inside += abs(found.value - (18 + 1.5 * math.log(3600))) < found.spread
    assert inside >= 90


def test_few_scores_foretell_nothing() -> None:
    assert forecast.forecast(*curve(4), end=3600) is None
    assert forecast.forecast([60.0] * 8, [20.0] * 8, end=3600) is None
    flat = forecast.forecast(curve(8)[0], [20.0] * 8, end=3600)
    assert flat is not None
    assert flat.value == pytest.approx(20)
    assert flat.next_db is None


def test_batches_are_shared_out() -> None:
    assert isinstance(BEN, Batch)
    rows = Parts(ranks=dataclasses.replace(Parts().ranks, rank=1, count=2)).rows(slice(2, 4), 8)
    assert (rows.start, rows.stop, rows.total) == (10, 12, 16)
    whole = pair(0)
    codes = torch.zeros(32, 32)
    noise = whole._noise(codes, 3, 0.0).view(2, 16, 32)
    assert torch.equal(whole._noise(codes[:4], 3, 0.0, rows).view(2, 2, 32), noise[:, 10:12])
