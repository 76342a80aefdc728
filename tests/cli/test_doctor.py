"""`vfxswap doctor`: every problem is found and stands with its remedy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vfxswap import infer, trust
from vfxswap.cli import doctor_hosts, doctor_machine, doctor_trust
from vfxswap.cli.doctor import examine

from ..support import PASSPHRASE, Studio


def statuses(ring: Path) -> dict[str, tuple[str, str, str]]:
    return {one.name: (one.status, one.text, one.remedy) for one in doctor_trust.keyring(ring)}


def test_everything_is_looked_at_and_each_problem_has_a_remedy(production: Studio, tmp_path: Path) -> None:
    findings = list(examine(output=tmp_path, color_config="", keyring=production.keyring))
    areas = {one.area for one in findings}
    assert areas == {"vfxswap", "library", "device", "network", "color", "training", "weights", "disk", "consent",
                     "hosts", "farm"}  # fmt: skip
    assert [one.name for one in findings if one.status in ("bad", "look") and not one.remedy] == []
    assert {one.name for one in findings if one.area == "weights"} == set(infer.catalog())


def test_it_says_why_cuda_is_not_used() -> None:
    found = {one.name: one for one in doctor_machine.devices()}
    if infer.cuda_problem():
        assert found["cuda"].status == "off"
        assert infer.cuda_problem() in found["cuda"].text
    else:
        assert found["cuda"].status in ("ok", "look")
    assert "CPU" in found["providers"].text


def test_a_damaged_weight_and_a_missing_licence_are_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / "weights"
    copied.mkdir()
    for path in infer.weights_folder().iterdir():
        if path.is_file():
            (copied / path.name).write_bytes(path.read_bytes())  # and no licences
    (copied / infer.catalog()["mesh"].file).write_bytes(b"damaged")
    monkeypatch.setattr(infer, "weights_folder", lambda: copied)
    infer.weights.cache_clear()
    try:
        found = {one.name: one for one in doctor_machine.weights()}
    finally:
        infer.weights.cache_clear()
    assert found["mesh"].status == "bad"
    assert "does not match its sha256" in found["mesh"].text
    assert found["detector"].status == "bad"
    assert "licence's text is missing" in found["detector"].text
    assert all(one.remedy for one in found.values())


def test_a_good_ring_says_how_old_its_list_is(production: Studio) -> None:
    found = statuses(production.keyring)
    status, text, remedy = found["revocations.json"]
    assert (status, remedy) == ("ok", "")
    assert text.startswith("0 days old, good until 20")
    assert "performer" in found["key ring"][1]


def test_what_is_wrong_with_a_ring_is_named(production: Studio, tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.mkdir()
    for path in production.keyring.glob("*.pub.json"):
        (ring / path.name).write_bytes(path.read_bytes())
    assert statuses(ring)["revocations"][0] == "bad"
    (ring / "revocations.json").write_text("{}")
    (ring / "somebody.key.pem").write_text("secret")
    found = statuses(ring)
    assert found["revocations.json"][0] == "bad"
    assert found["revocations.json"][2]
    assert found["private keys"] == (
        "look",
        "private keys lie in the key ring: somebody.key.pem",
        "move each to its owner; a ring needs public keys only",
    )
    assert statuses(tmp_path / "nowhere")["key ring"][0] == "bad"


def test_a_stale_list_is_bad_and_one_that_ends_soon_is_to_be_looked_at(production: Studio, tmp_path: Path) -> None:
    ring = Path(shutil.copytree(production.keyring, tmp_path / "ring"))
    key, now = production.root / "private" / "revoker.key.pem", datetime.now(UTC).replace(microsecond=0)
    for days, expected in ((9, "bad"), (6, "look")):
        (ring / "revocations.json").unlink()
        trust.revoke(
            [],
            ring=trust.KeyRing.load(ring),
            key_file=key,
            passphrase=PASSPHRASE,
            clock=lambda days=days: now - timedelta(days=days),  # type: ignore[misc]
        )
        status, text, remedy = statuses(ring)["revocations.json"]
        assert status == expected
        assert f"{days} days old" in text
        assert remedy


def test_a_machine_without_a_ring_is_not_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    (found,) = doctor_trust.keyring(None)
    assert (found.status, bool(found.remedy)) == ("off", True)


@pytest.mark.parametrize(
    ("platform", "made"),
    [
        ("linux", "usr/local/Nuke15.1v3/Nuke15.1"),
        ("darwin", "Applications/Nuke15.1v3/Nuke15.1v3.app"),
        ("win32", "Program Files/Nuke15.1v3/Nuke15.1.exe"),
    ],
)
def test_nuke_is_found_where_its_installer_puts_it(tmp_path: Path, platform: str, made: str) -> None:
    (tmp_path / made).parent.mkdir(parents=True)
    (tmp_path / made).touch()
    patterns = doctor_hosts.programs({"ProgramFiles": str(tmp_path / "Program Files")}, platform)["nuke"]
    below = [one if one.startswith(str(tmp_path)) else str(tmp_path) + one for one in patterns]
    assert doctor_hosts.found(below) == [(tmp_path / made).parent]


def test_a_host_that_knows_another_installation_is_named(tmp_path: Path) -> None:
    def doctor() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "vfxswap", "doctor", "--json"],
            capture_output=True,
            text=True,
            env={"HOME": str(tmp_path), "PATH": ""},
            check=True,
        )
        return next(str(one["status"]) for one in json.loads(done.stdout) if one["name"] == "Nuke")

    assert doctor() == "off"
    (tmp_path / ".nuke").mkdir()
    command = [sys.executable, "-m", "vfxswap", "hosts", "install", "nuke", "--folder", str(tmp_path / ".nuke")]
    subprocess.run(command, check=True, capture_output=True)
    assert doctor() == "ok"
    init = tmp_path / ".nuke" / "init.py"
    init.write_text(init.read_text().replace("hosts/nuke", "elsewhere/nuke"))
    assert doctor() == "look"


def test_scarce_disks_are_named(tmp_path: Path) -> None:
    found = {one.name: one for one in doctor_machine.disk(tmp_path / "not" / "there" / "yet")}
    assert str(tmp_path) in found["output"].text
    assert "GiB free" in found["output"].text
