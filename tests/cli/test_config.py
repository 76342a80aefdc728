"""`vfxswap.toml`: flag, then job, then file, then built-in default; and never around consent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from vfxswap import cli
from vfxswap.cli.common import Run
from vfxswap.cli.config import NAME, PERMITTED, WITHHELD, Config, nearest
from vfxswap.errors import ConfigError
from vfxswap.job import SwapJob

from ..support import Studio

COMMANDS = tuple(cli.COMMANDS)


def config(folder: Path, text: str) -> Config:
    path = folder / NAME
    path.write_text(text, encoding="utf-8")
    return Config.load(path, commands=COMMANDS)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        found = config(folder, text)
        for name in COMMANDS:
            found.defaults(name, cli.load(name))
    assert caught.value.exit_code == 4
    assert caught.value.path == folder / NAME
    return str(caught.value)


def options(command: Any) -> set[str]:
    if hasattr(command, "commands"):
        return {flag for found in command.commands.values() for flag in options(found)}
    return {flag[2:] for one in command.params for flag in one.opts if flag.startswith("--")}


def test_what_it_may_hold_are_options() -> None:
    there = {flag for name in COMMANDS for flag in options(cli.load(name))}
    assert set(PERMITTED) <= there
    assert set(WITHHELD) <= there
    assert not set(PERMITTED) & set(WITHHELD)


def test_nothing_that_consent_hangs_on_may_stand_in_it() -> None:
    assert {"keyring", "shot"} <= set(WITHHELD)
    assert not set(PERMITTED) & {"accept-rewritten", "approve-gap", "reference", "key", "command", "model", "output"}


def test_the_nearest_file_upwards_counts(tmp_path: Path) -> None:
    deep = tmp_path / "show" / "seq" / "shot"
    deep.mkdir(parents=True)
    assert nearest(deep) != tmp_path / NAME
    (tmp_path / NAME).touch()
    assert nearest(deep) == tmp_path / NAME
    (tmp_path / "show" / "seq" / NAME).touch()
    assert nearest(deep) == tmp_path / "show" / "seq" / NAME


@pytest.mark.parametrize("arguments", [["--config", "a.toml", "swap"], ["swap", "x", "--config=a.toml"]])
def test_a_named_file_counts_before_the_nearest(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_text("device = 'cuda'")
    (tmp_path / "a.toml").write_text("device = 'cpu'")
    assert Config.find(arguments, commands=COMMANDS).everywhere == {"device": "cpu"}
    assert Config.find(["swap"], commands=COMMANDS).everywhere == {"device": "cuda"}


def test_a_command_gets_its_table_over_the_top(tmp_path: Path) -> None:
    found = config(tmp_path, "device = 'cuda'\ncolorspace = 'ACEScg'\n[swap]\ndevice = 'cpu'\nmix = 0.5\n")
    swap = found.defaults("swap", cli.load("swap"))
    assert swap == {"device": "cpu", "colorspace": "ACEScg", "mix": 0.5}
    assert found.defaults("train", cli.load("train")) == {"device": "cuda"}
    assert found.defaults("demo", cli.load("demo")) == {}


def test_an_option_is_not_taken_for_an_argument_of_its_name(tmp_path: Path) -> None:
    found = config(tmp_path, "consent = ['ben.json', 'anna.json']\n")
    assert found.defaults("consent", cli.load("consent"))["show"] == {}
    assert found.defaults("swap", cli.load("swap")) == {
        "consent": [str(tmp_path / n) for n in ("ben.json", "anna.json")]
    }


def test_groups_have_tables_in_tables(tmp_path: Path) -> None:
    found = config(tmp_path, "[track]\ndevice = 'cpu'\n[farm.submit]\nto = 'openjd'\n[track.plate]\nview = 'all'\n")
    assert found.defaults("farm", cli.load("farm"))["submit"] == {"to": "openjd"}
    assert found.defaults("track", cli.load("track"))["plate"] == {"device": "cpu", "view": "all"}


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    text = "consent = ['trust/ben.json']\ncolor-config = 'show.ocio'\nlens = '/lens/a.exr'\n[swap]\npass = 'uv'\n"
    found = config(tmp_path, text).of("swap")
    assert found["consent"] == [str(tmp_path / "trust" / "ben.json")]
    assert found["color-config"] == str(tmp_path / "show.ocio")
    assert found["lens"] == str(Path("/lens/a.exr"))
    assert config(tmp_path, "color-config = 'ocio://x'").of("swap")["color-config"] == "ocio://x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour-space = 'x'", "unknown key 'colour-space' (PATH); did you mean 'colorspace'?"),
        ("[swop]\nmix = 1", "unknown key 'swop' (PATH); did you mean 'swap'?"),
        ("[swap]\nmixx = 1", "unknown key 'mixx' (PATH); did you mean 'mix'?"),
        ("[swap]\nmodel = 'ben.vfxmodel'", "unknown key 'model'"),
        ("mix = 0.5", "'mix' stands above the tables (PATH); put it into one, such as [swap]"),
        ("[swap]\nmix = 2", "'mix' is 2: "),
        ("[swap]\nmix = true", "'mix' is True"),
        ("[swap]\nmix = [1]", "'mix' is [1]"),
        ("device = 'tpu'", "'tpu' is not one of 'auto', 'cpu', 'cuda'"),
        ("[track.fx]\ndevice = 'cpu'", "[track.fx] is no command"),
        ("[train]\nchunk = 3", "[train] has 'chunk', which is no option of it"),
        ("swap = 3", "'swap' is a command: write a table, [swap]"),
        ("keyring = 'keys'", "'keyring' cannot be set here: whose signatures count is not decided by a file"),
        ("[swap]\nshot = 'a/b/c'", "'shot' cannot be set here: the shot that consent is asked for is not decided"),
        ("[swap]\noverwrite = true", "'overwrite' cannot be set here"),
        ("device = ", "not TOML: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    assert said.replace("PATH", str(tmp_path / NAME)) in refused(tmp_path, text)


def run(*arguments: str) -> int:
    return cli.execute(Run(arguments))


def dialled(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> SwapJob:
    """The job that a command line comes to, which is not done."""
    from vfxswap.cli import shot

    jobs: list[SwapJob] = []

    def take(job: SwapJob, *_: Any, **__: Any) -> None:
        jobs.append(job)

    monkeypatch.setattr(shot, "_work", take)
    assert run(*arguments) == 0
    return jobs[0]


def test_flag_then_file_then_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_text("device = 'cpu'\n[swap]\nmix = 0.5\nrelight = 0.25\nlayers = 'ingredients'\n")
    words = ["swap", "p.####.exr", "--model", "m.vfxmodel", "--output", "o.####.exr"]
    job = dialled(monkeypatch, *words, "--mix", "0.75")
    assert (job.parameters.mix, job.parameters.relight, job.parameters.highlights) == (0.75, 0.25, 1.0)
    assert (job.layers, job.device) == ("ingredients", "cpu")


def test_job_then_file_then_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_text(
        "colorspace = 'ACEScg'\nconsent = 'ben.json'\ncolor-context = {SHOT = 'a'}\n[swap]\nmix = 0.5\nrelight = 0.25\n"
    )
    fields = {"schema": "vfxswap.job/1", "plate": "p.####.exr", "model": "m", "output": "o.####.exr"}
    (tmp_path / "job.json").write_text(json.dumps({**fields, "parameters": {"mix": 0.75}}))
    job = dialled(monkeypatch, "run", "job.json")
    assert (job.parameters.mix, job.parameters.relight, job.parameters.highlights) == (0.75, 0.25, 1.0)
    assert (job.color_space, job.color_context) == ("ACEScg", {"SHOT": "a"})
    assert job.consents == (tmp_path / "ben.json",)
    (tmp_path / "job.json").write_text(json.dumps({**fields, "host": "nuke"}))
    assert dialled(monkeypatch, "run", "job.json").parameters.mix == 1.0, "a host's job is what its artist sees"


def test_a_saved_job_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved = SwapJob.make(plate=str(tmp_path / "p.####.exr"), model=tmp_path / "m", output=str(tmp_path / "o.####.exr"))
    saved.save(tmp_path / "job.json")
    (tmp_path / NAME).write_text("device = 'cuda'\ncolorspace = 'x'\n[swap]\nmix = 0.5\nlayers = 'patch'\n")
    assert dialled(monkeypatch, "run", "job.json") == saved


def test_consents_of_the_file_are_checked_as_any(
    production: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file that names unsigned consents opens nothing, and none of its own ring is asked."""
    monkeypatch.chdir(tmp_path)
    words = ["swap", "p.####.exr", "--model", str(production.model()), "--output", "o.####.exr"]
    (tmp_path / "forged.json").write_text("{}")
    (tmp_path / NAME).write_text("consent = ['forged.json']\n")
    assert run(*words, "--keyring", str(production.keyring)) == 77
    assert capfd.readouterr().err.startswith("vfxswap: error: VS-CON-")
    (tmp_path / NAME).write_text(f"keyring = '{production.keyring.as_posix()}'\n")
    assert run(*words) == 4
    assert "'keyring' cannot be set here" in capfd.readouterr().err


def test_a_file_that_is_wrong_stops_no_help_and_no_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_text("devise = 'cpu'\n")
    assert run("swap", "--help") == 0
    assert run("doctor") == 4
    assert "did you mean 'device'?" in capfd.readouterr().out


def test_every_command_that_it_serves_takes_the_option() -> None:
    for name in COMMANDS:
        command = cli.load(name)
        leaves = command.commands if hasattr(command, "commands") else {"": command}
        for word, leaf in leaves.items():
            flags = options(leaf)
            served = bool(flags & set(PERMITTED)) or (name, word) in (("run", ""), ("farm", "submit"))
            assert ("config" in flags) == served, f"{name} {word}"
    assert isinstance(cli.app, typer.Typer)
