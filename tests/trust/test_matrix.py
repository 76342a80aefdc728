"""Every command that is gated, with every way in which a consent can fail: exit code 77, one line, not one file.

The failures are documents signed through the public API, in key rings on disk; the machine's clock is as it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vfxswap import cli, trust, vfxmodel
from vfxswap.cli.common import Run
from vfxswap.cli.farm_training import TrainJob
from vfxswap.job import SwapJob

from .. import support
from ..cli.facesets import ENVIRONMENT
from .conftest import PASSPHRASE
from .office import DAY, SHOT, Office, Trust, copied_ring, list_in, listing


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office"))


# ------------------------------------------------------------------------------------------ entry points

Entry = Callable[[Office, Trust, Path], list[str]]


def _faceset(office: Office, given: Trust, out: Path) -> list[str]:
    return ["faceset", "build", office.plate, "--performer", "anna", "--output", str(out / "set"), "--no-sheet",
            "--device", "cpu", *given.options]  # fmt: skip


def _append(office: Office, given: Trust, out: Path) -> list[str]:
    return ["faceset", "build", office.plate, "--performer", "anna", "--append", "--output",
            str(office.root / "facesets" / "anna"), "--device", "cpu", *given.options]  # fmt: skip


def _facesets(office: Office) -> list[str]:
    folder = office.root / "facesets"
    return ["--likeness", str(folder / "ben"), "--double", str(folder / "anna")]


def _train(office: Office, given: Trust, out: Path) -> list[str]:
    return ["train", str(out / "m"), *_facesets(office), "--preset", "test", "--steps", "1", *given.options]


def _resume(office: Office, given: Trust, out: Path) -> list[str]:
    return ["train", str(office.training), *_facesets(office), "--steps", "+1", *given.options]


def _begin_from(office: Office, given: Trust, out: Path) -> list[str]:
    return [*_train(office, given, out), "--from", str(office.training)]


def _retrain(office: Office, given: Trust, out: Path) -> list[str]:
    return ["retrain", str(office.training), "--report", str(office.report), "--plate", office.plate,
            *_facesets(office), "--steps", "1", *given.options]  # fmt: skip


def _export(office: Office, given: Trust, out: Path) -> list[str]:
    return ["export", str(office.training), "--output", str(out / "x.vfxmodel"), *given.options]


def _measure(office: Office, given: Trust, out: Path) -> list[str]:
    return ["measure", office.plate, "--track", str(office.root / "no.vfxtrack"), "--model", str(office.model),
            "--output", str(out / "x.vfxshot"), "--device", "cpu", *given.options]  # fmt: skip


def _swap(office: Office, given: Trust, out: Path) -> list[str]:
    return ["swap", office.plate, "--model", str(office.model), "--output", str(out / "out.####.exr"), "--device",
            "cpu", "--save-job", str(out / "saved.json"), *given.options]  # fmt: skip


def _job(office: Office, given: Trust, out: Path) -> str:
    job = SwapJob.make(plate=office.plate, model=office.model, output=str(out / "out.####.exr"), device="cpu",
                       consents=given.consents, keyring=given.ring, shot=SHOT)  # fmt: skip
    path = office.root / "jobs" / "job.json"
    path.parent.mkdir(exist_ok=True)
    job.save(path)
    path.write_text(path.read_text().replace(SHOT, given.shot))  # as somebody with an editor would
    return str(path)


def _run(office: Office, given: Trust, out: Path) -> list[str]:
    return ["run", _job(office, given, out)]


def _chunk(office: Office, given: Trust, out: Path) -> list[str]:
    return ["run", _job(office, given, out), "--frames", "1002-1003", "--overwrite"]


def _farm_submit(office: Office, given: Trust, out: Path) -> list[str]:
    return ["farm", "submit", _job(office, given, out), "--to", "openjd"]


def _farm_step(step: str) -> Entry:
    return lambda office, given, out: ["farm", "work", step, _job(office, given, out)]


def _farm_train(office: Office, given: Trust, out: Path) -> list[str]:
    return ["farm", "train", str(out / "m"), *_facesets(office), "--to", "openjd", "--steps", "1", *given.options]


def _farm_training(office: Office, given: Trust, out: Path) -> list[str]:
    facesets = office.root / "facesets"
    job = TrainJob(
        schema_version="vfxswap.training/1", model_dir=str(out / "m"), likeness=[str(facesets / "ben")],
        double=[str(facesets / "anna")], consents=[str(path) for path in given.consents], keyring=str(given.ring),
        shot=given.shot, options={"steps": "1"},
    )  # fmt: skip
    path = office.root / "jobs" / "training.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(job.to_json())
    return ["farm", "work", "train", str(path)]


def _otio(office: Office, given: Trust, out: Path, names: tuple[str, ...] = ("talk",)) -> list[str]:
    otio = pytest.importorskip("opentimelineio", reason="the extra otio is not installed")
    path, whole = office.root / "reel.otio", otio.opentime.TimeRange(duration=otio.opentime.RationalTime(4, 24))
    media = otio.schema.ImageSequenceReference(
        target_url_base=Path(office.plate).parent.as_uri() + "/", name_prefix=Path(office.plate).name.partition("#")[0],
        name_suffix=".exr", start_frame=1001, rate=24, frame_zero_padding=4, available_range=whole,
    )  # fmt: skip
    timeline = otio.schema.Timeline()
    clips = [otio.schema.Clip(name=name, media_reference=media.clone()) for name in names]
    timeline.tracks.append(otio.schema.Track(children=clips))
    otio.adapters.write_to_file(timeline, str(path))
    wanted = [word for name in names for word in ("--clip", name)]
    return ["otio", str(path), *wanted, "--model", str(office.model), "--output", str(out / "otio"),
            "--device", "cpu", *given.options]  # fmt: skip


def _publish(office: Office, given: Trust, out: Path) -> list[str]:
    return ["publish", _job(office, given, out), "--into", str(out / "published")]


def _publish_check(office: Office, given: Trust, out: Path) -> list[str]:
    return ["publish", _job(office, given, out), "--check"]


def _quality(office: Office, given: Trust, out: Path) -> list[str]:
    return ["bench", "quality", "--shot-data", str(office.shot_data), "--model", str(office.model), "--output",
            str(out / "q"), "--json", str(out / "q.json"), "--device", "cpu", *given.options]  # fmt: skip


COLLECTING: dict[str, Entry] = {"faceset build": _faceset, "faceset build --append": _append}
TRAINING: dict[str, Entry] = {
    "train": _train,
    "train, resumed": _resume,
    "train --from": _begin_from,
    "retrain": _retrain,
    "export": _export,
    "farm train": _farm_train,
    "farm work train": _farm_training,
}
SWAPPING: dict[str, Entry] = {
    "measure": _measure,
    "swap": _swap,
    "run": _run,
    "run --frames": _chunk,
    "otio": _otio,
    "farm submit": _farm_submit,
    **{f"farm work {step}": _farm_step(step) for step in ("track", "measure", "swap", "finalise")},
    "bench quality": _quality,
}
PUBLISHING: dict[str, Entry] = {"publish": _publish, "publish --check": _publish_check}
ENTRIES = {**COLLECTING, **TRAINING, **SWAPPING, **PUBLISHING}

# ---------------------------------------------------------------------------------------------- failures

Failure = Callable[[Office], Trust]


def _signed(**changes: Any) -> Failure:
    return lambda office: office.trust(office.studio.consent("anna", **changes))


def _expired(office: Office) -> Trust:
    return office.trust(office.studio.consent("anna", not_after=office.studio.now - DAY))


def _not_yet(office: Office) -> Trust:
    return office.trust(office.studio.consent("anna", not_before=office.studio.now + DAY))


def _overdue(office: Office) -> Trust:
    return office.trust(office.studio.consent("anna", delete_model_by=office.studio.now - DAY))


def _tampered(office: Office) -> Trust:
    path = office.studio.consent("anna", scope=["show2/*/*"])
    path.write_text(path.read_text().replace("show2/*/*", "*/*/*"))
    return office.trust(path)


def _forged(office: Office) -> Trust:
    if not office.studio.private("forger").exists():
        office.studio.key("forger", "performer", "*", trusted=False)
    return office.trust(office.studio.consent("anna", signers=["forger", "prod"]))


def _forged_name(office: Office) -> Trust:
    path = _forged(office).consents[1]
    value = json.loads(path.read_text())
    value["signatures"][0]["kid"] = "perf-anna"
    path.write_text(json.dumps(value))
    return office.trust(path)


def _revoked(office: Office) -> Trust:
    consent, ring = office.studio.consent("anna"), copied_ring(office.studio, "revoked")
    trust.revoke([consent], ring=trust.KeyRing.load(ring), key_file=office.studio.private("revoker"),
                 passphrase=PASSPHRASE)  # fmt: skip
    return office.trust(consent, ring=ring)


def _listed(name: str, change: Callable[[Office, Path], None]) -> Failure:
    def failure(office: Office) -> Trust:
        ring = copied_ring(office.studio, name)
        change(office, ring)
        return office.trust(ring=ring)

    return failure


FAILURES: dict[str, tuple[str, Failure]] = {
    "no consent": ("VS-CON-001", lambda office: office.trust(consents=[])),
    "the other performer's only": ("VS-CON-001", lambda office: office.trust(consents=[office.ben])),
    "expired": ("VS-CON-003", _expired),
    "not yet": ("VS-CON-003", _not_yet),
    "the model had to be deleted": ("VS-CON-003", _overdue),
    "wrong shot": ("VS-CON-009", _signed(scope=["show1/sq011/*", "show2/sq010/*", "show1/*/sh021"])),
    "excluded shot": ("VS-CON-009", _signed(scope_exclude=["SHOW1/sq010/Sh02*"])),
    "path trick": ("VS-CON-011", lambda office: office.trust(shot="../sq010/sh020")),
    "path trick, inside": ("VS-CON-011", lambda office: office.trust(shot="show1/../sh020")),
    "path trick, deep": ("VS-CON-011", lambda office: office.trust(shot=SHOT + "/../sh020")),
    "wrong use": ("VS-CON-008", _signed(uses=["publish"])),
    "no leave to publish": ("VS-CON-008", _signed(uses=["train", "swap"])),
    "wrong role": ("VS-CON-007", _signed(roles=["likeness"])),
    "model hash": ("VS-CON-010", _signed(models=["cd" * 32])),
    "no model": ("VS-CON-010", _signed(models=None)),
    "tampered": ("VS-CON-002", _tampered),
    "performer did not sign": ("VS-CON-002", _signed(signers=["prod"])),
    "production did not sign": ("VS-CON-002", _signed(signers=["perf-anna"])),
    "forged": ("VS-CON-002", _forged),
    "forged under a known name": ("VS-CON-002", _forged_name),
    "revoked": ("VS-CON-004", _revoked),
    "no list": ("VS-CON-005", _listed("none", lambda _office, ring: (ring / "revocations.json").unlink())),
    "wrong key role": ("VS-CON-005", _listed("role", lambda office, ring: list_in(office.studio, ring, kid="prod"))),
    "clock set back": (
        "VS-CON-005",
        _listed("back", lambda office, ring: list_in(office.studio, ring, issued=office.studio.now + DAY)),
    ),
    "stale list": (
        "VS-CON-006",
        _listed("stale", lambda office, ring: list_in(office.studio, ring, issued=office.studio.now - 8 * DAY)),
    ),
    "no ring": ("VS-CON-013", lambda office: office.trust(ring=office.root / "no such ring")),
}


def applies(entry: str, failure: str) -> bool:
    """A faceset is of one performer in any role, and what is not a swap has no model yet."""
    if failure == "wrong role":
        return entry not in COLLECTING
    if failure in ("wrong use", "no leave to publish"):
        return (entry in PUBLISHING) == (failure == "no leave to publish")
    return entry in SWAPPING or entry in PUBLISHING or failure not in ("model hash", "no model")


MATRIX = [(entry, failure) for entry in ENTRIES for failure in FAILURES if applies(entry, failure)]


UNGATED = {
    "doctor", "hosts install", "hosts path", "hosts uninstall",  # no material
    "track plate", "track fix", "track report", "track export",  # no model, no training material
    "faceset sheet", "faceset report", "faceset edit",  # show and sort what was collected under a grant
    *(f"consent {word}" for word in ("keygen", "name", "new", "reference", "revoke", "show", "sign", "verify")),
    *(f"provenance {word}" for word in ("finalise", "key", "show", "verify")),  # read what was made
    "qc", "review",  # measure and show what was rendered, with no model
    "demo",  # has consents of its own: test_demo_trust.py
}  # fmt: skip


def _commands() -> set[str]:
    """Every command that can be run, those of groups with two words."""
    found = {name: sorted(getattr(cli.load(name), "commands", {})) for name in cli.COMMANDS}
    return {f"{name} {word}".strip() for name, words in found.items() for word in words or [""]}


def test_the_matrix_is_whole():
    """A new command is an entry of it, or is known to need no consent."""
    assert len(MATRIX) > 350
    commands = _commands()
    groups = {name.split()[0] for name in commands if " " in name}
    first = {entry: entry.replace(",", " ").split() for entry in ENTRIES}
    assert {" ".join(words[: 1 + (words[0] in groups)]) for words in first.values()} | UNGATED == commands
    assert not {" ".join(words[:2]) for words in first.values()} & UNGATED


@pytest.mark.parametrize(("entry", "failure"), MATRIX)
def test_refused(office: Office, tmp_path: Path, entry: str, failure: str, monkeypatch, capfd):
    code, change = FAILURES[failure]
    arguments = ENTRIES[entry](office, change(office), tmp_path)
    monkeypatch.chdir(tmp_path)
    before = [*listing(office.root), *listing(tmp_path)]
    assert cli.execute(Run(tuple(arguments))) == 77
    assert [*listing(office.root), *listing(tmp_path)] == before
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"vfxswap: error: {code} ")
    assert said.err.count("\n") == 1
    assert "; " in said.err  # what to do


@pytest.mark.parametrize("entry", ENTRIES)
def test_not_refused_with_good_consents(office: Office, tmp_path: Path, entry: str, capfd):
    """What is refused above is refused for its consents alone. Facesets without pictures end a training later."""
    given = office.trust()
    code = cli.execute(Run(tuple(ENTRIES[entry](office, given, tmp_path))))
    assert code != 77, capfd.readouterr().err
    if entry in ("swap", "run", "run --frames", "otio", "farm submit", "farm work swap", "export", "faceset build"):
        assert code == 0, capfd.readouterr().err
        assert any(tmp_path.iterdir())


@pytest.mark.parametrize("entry", ["swap", "train", "faceset build"])
@pytest.mark.parametrize("failure", ["revoked", "path trick"])
def test_refused_as_a_process(office: Office, tmp_path: Path, entry: str, failure: str):
    code, change = FAILURES[failure]
    arguments = ENTRIES[entry](office, change(office), tmp_path)
    before = [*listing(office.root), *listing(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "vfxswap", *arguments],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (77, "")
    assert done.stderr.startswith(f"vfxswap: error: {code} ") and done.stderr.count("\n") == 1
    assert [*listing(office.root), *listing(tmp_path)] == before


def test_a_clip_without_leave_leaves_the_others_undone(office: Office, tmp_path: Path, capfd):
    given = office.trust(shot="show1/{clip}/sh020")
    assert cli.execute(Run(tuple(_otio(office, given, tmp_path, ("sq010", "sq099"))))) == 77
    assert "VS-CON-009" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_withdrawal_stops_the_chunks_of_a_job_that_was_submitted(office: Office, tmp_path: Path, capfd):
    """Submit, render a chunk, withdraw: the next chunk of the very same job file is refused and writes nothing."""
    ring, consent = copied_ring(office.studio, "farm"), office.studio.consent("anna")
    job = _job(office, office.trust(consent, ring=ring), tmp_path)
    assert cli.execute(Run(("run", job, "--frames", "1001-1002"))) == 0
    assert sorted(path.name for path in tmp_path.glob("*.exr")) == ["out.1001.exr", "out.1002.exr"]
    trust.revoke([consent], ring=trust.KeyRing.load(ring), key_file=office.studio.private("revoker"),
                 passphrase=PASSPHRASE)  # fmt: skip
    before = [*listing(office.root), *listing(tmp_path)]
    capfd.readouterr()
    for chunk in ("1003-1004", "1001-1002"):
        assert cli.execute(Run(("run", job, "--frames", chunk, "--overwrite"))) == 77
        assert "VS-CON-004" in capfd.readouterr().err
    assert [*listing(office.root), *listing(tmp_path)] == before


@pytest.mark.parametrize("switch", ["VFXSWAP_FORCE", "VFXSWAP_NO_CONSENT", "VFXSWAP_SKIP_GATE", "VFXSWAP_KEYRING"])
def test_no_environment_opens_the_gate(office: Office, tmp_path: Path, switch: str, monkeypatch):
    monkeypatch.setenv(switch, "1")
    assert cli.execute(Run(tuple(_swap(office, _revoked(office), tmp_path)))) == 77


def test_a_worker_that_keeps_its_networks_asks_for_every_job(office: Office, tmp_path: Path):
    """`run --serve` renders a job; withdrawn, the very same job is refused though its network is still loaded."""
    ring, consent = copied_ring(office.studio, "worker"), office.studio.consent("anna")
    job = _job(office, office.trust(consent, ring=ring), tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "vfxswap", "run", "--serve", "--events", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None

    def ask(frames: str) -> list[dict[str, Any]]:
        print(json.dumps({"id": "1", "job": job, "frames": frames}), file=process.stdin, flush=True)
        said = []
        for line in process.stdout or ():
            said.append(json.loads(line))
            if said[-1]["event"] == "finished":
                break
        return said

    try:
        assert ask("1001")[-1]["code"] == 0
        trust.revoke([consent], ring=trust.KeyRing.load(ring), key_file=office.studio.private("revoker"),
                     passphrase=PASSPHRASE)  # fmt: skip
        before = [*listing(tmp_path)]
        refused = ask("1002")
        assert refused[-1]["code"] == 77
        assert "VS-CON-004" in json.dumps(refused)
        assert [*listing(tmp_path)] == before
    finally:
        process.stdin.close()
        process.wait(timeout=60)


# ----------------------------------------------------------------------------- what things were made under


def _made_under(office: Office, out: Path, **record: str) -> list[str]:
    """The swap of a model that was trained under a consent which is not among those given now."""
    model = out / "trained.vfxmodel"
    consent = {"id": OLD, "sha256": "0" * 64, **record}
    vfxmodel.write(model, card=support.card(consents=(consent,)), onnx=support.network())
    return ["--model", str(model)]


OLD = "urn:uuid:00000000-0000-4000-8000-000000000001"
WITHDRAWN = {"id": OLD, "revoked": "2026-01-01T00:00:00Z", "reason": ""}


@pytest.mark.parametrize(
    ("change", "code"),
    [({}, "VS-CON-004"), ({"delete_model_by": "2026-02-01T00:00:00Z"}, "VS-CON-003"), ({"sha256": "1" * 64}, "")],
)
def test_a_model_is_refused_for_what_it_was_trained_under(
    office: Office, tmp_path: Path, change: dict[str, str], code: str, capfd
):
    """Fresh, good consents do not help a model whose training consent was withdrawn, or that had to be deleted."""
    given, out = office.trust(), tmp_path / "out"
    if code == "VS-CON-004":
        given.ring = copied_ring(office.studio, "withdrawn")
        list_in(office.studio, given.ring, revoked=[WITHDRAWN])
    model = _made_under(office, tmp_path, **change)
    for arguments in (_swap(office, given, out), _measure(office, given, out), _quality(office, given, out)):
        at = arguments.index("--model")
        arguments[at : at + 2] = model
        before = [*listing(tmp_path)]
        found = cli.execute(Run(tuple(arguments)))
        said = capfd.readouterr().err
        if code:
            assert (found, code in said) == (77, True), said
            assert [*listing(tmp_path)] == before
        else:
            assert found != 77, said


@pytest.mark.parametrize("entry", ["train", "train, resumed", "train --from", "retrain", "faceset build --append"])
def test_training_material_is_refused_for_what_it_was_made_under(office: Office, tmp_path: Path, entry: str, capfd):
    """The facesets of the office were built under a consent `c`, its training under ben's first one."""
    given = office.trust(consents=[office.studio.consent("ben"), office.studio.consent("anna")])
    given.ring = copied_ring(office.studio, "material")
    first = json.loads(office.ben.read_text())["payload"]["id"]
    list_in(office.studio, given.ring, revoked=[{**WITHDRAWN, "id": first}])
    if entry in ("train", "faceset build --append"):
        for performer in ("ben", "anna"):
            index = office.root / "facesets" / performer / "faceset.json"
            index.write_text(index.read_text().replace('"id": "c"', f'"id": "{first}"'))
    try:
        assert cli.execute(Run(tuple(ENTRIES[entry](office, given, tmp_path)))) == 77
        assert f"VS-CON-004 consent {first}, under which this was made" in capfd.readouterr().err
        assert not any(tmp_path.iterdir())
    finally:
        for index in (office.root / "facesets").glob("*/faceset.json"):
            index.write_text(index.read_text().replace(f'"id": "{first}"', '"id": "c"'))


def test_an_exported_model_carries_what_it_was_trained_under(office: Office, tmp_path: Path):
    assert cli.execute(Run(tuple(_export(office, office.trust(), tmp_path)))) == 0
    held = vfxmodel.read_card(tmp_path / "x.vfxmodel").origin()
    wanted = [trust.SignedConsent.read(path) for path in (office.ben, office.anna)]
    assert [(part["id"], part["sha256"]) for part in held] == [(one.record.id, one.sha256) for one in wanted]


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"models": "any", "uses": ["publish"]}, False),
        ({"models": ["cd" * 32]}, False),
        ({"models": "any", "scope": ["show2/*/*"]}, False),
        ({"models": "any"}, True),
    ],
)
def test_a_network_for_nuke_needs_leave_to_swap(
    office: Office, tmp_path: Path, changes: dict[str, Any], allowed: bool, capfd
):
    """Nuke paints with it and asks nobody, so who makes it is asked for that, too: here by consents signed later."""
    later = [office.studio.consent("ben", models="any"), office.studio.consent("anna", **changes)]
    given = office.trust(consents=[office.ben, office.anna, *later])
    arguments = ["export", str(office.training), "--to", "nuke-cat", "--output", str(tmp_path / "live")]
    assert cli.execute(Run((*arguments, *given.options))) == (0 if allowed else 77)
    assert bool([*listing(tmp_path)]) == allowed
    assert capfd.readouterr().err.startswith("" if allowed else "vfxswap: error: VS-CON-0")
