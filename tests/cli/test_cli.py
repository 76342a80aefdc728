"""The installed command: exit codes, one-line errors, events on stdout alone, signals, laziness."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from vfxswap import __version__
from vfxswap.cli import COMMANDS, load
from vfxswap.events import cancel_file

COMMAND = str(Path(sys.executable).parent / "vfxswap")
PASSPHRASE = "correct horse battery staple"

# A command that does what tests ask, registered as any other: the behaviour of `main` needs one to show itself.
PROBE = textwrap.dedent(
    """
    import os, time
    from pathlib import Path
    from typing import Annotated
    import typer
    from vfxswap import events
    from vfxswap.cli.common import Debug, Events, working
    from vfxswap.errors import FrameError

    def probe(ctx: typer.Context, what: str, job: str = "", events_: Annotated[str, typer.Option("--events")] = "",
              debug: Debug = False) -> None:
        "Do what a test asks."
        with working(ctx, events=events_, job=Path(job) if job else None) as work:
            work.sink.emit(events.Started(job="probe", frames="1-3"))
            if what == "bug":
                raise ZeroDivisionError("secret [bold]path[/bold]")
            if what == "frames":
                work.sink.emit(events.FrameFailed(frame=2, code="frame", message="truncated"))
                raise FrameError("1 of 3 frames failed", frame=2, hint="run again")
            if what == "noise":
                print("from Python")
                os.system("echo from a library")
                work.sink.emit(events.Warned(code="w", message="look [here]", frame=3))
                for done in range(1, 4):
                    work.sink.emit(events.Progress(stage="swap", done=done, total=3, frame=done))
                work.sink.emit(events.Done(manifest="", counts={"rendered": 3, "skipped": 0}))
            if what == "exit":
                raise typer.Exit(3)
            if what == "memory":
                raise MemoryError
            while what == "wait":
                work.cancel.check()
                time.sleep(0.02)
    """
)
RUN_PROBE = (
    "import vfxswap.cli as cli; cli.COMMANDS['probe'] = ('vfxswap_probe:probe', 'Do what a test asks.'); cli.main()"
)

Done = subprocess.CompletedProcess[str]


def vfxswap(*arguments: str, **environment: str) -> Done:
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )


class Probe:
    def __init__(self, folder: Path) -> None:
        (folder / "vfxswap_probe.py").write_text(PROBE)
        self._environment = {**os.environ, "PYTHONPATH": str(folder)}

    def start(self, *arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", RUN_PROBE, "probe", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=self._environment,
        )

    def __call__(self, *arguments: str) -> Done:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        return Done(arguments, process.returncode, out, err)


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    return Probe(tmp_path)


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_version_and_help() -> None:
    assert vfxswap("--version").stdout == f"vfxswap {__version__}\n"
    shown = vfxswap("--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in COMMANDS)


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "vfxswap", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"vfxswap {__version__}\n"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_that_starts_as_the_list_says(name: str) -> None:
    command = load(name)
    assert (command.help or "").strip().splitlines()[0] == COMMANDS[name][1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), ""),
        (("doctr",), "Did you mean 'doctor'?; see vfxswap --help"),
        (("--nope",), "No such option"),
        (("consent",), "no command was given; see vfxswap consent --help"),
        (("consent", "show"), "Missing argument"),
        (("consent", "new", "--role", "hero"), "Missing option"),
    ],
)
def test_wrong_usage_is_2_and_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = vfxswap(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    if said:
        assert done.stderr.startswith("vfxswap: error: ")
        assert done.stderr.count("\n") == 1


def test_wrong_usage_is_an_event_too() -> None:
    done = vfxswap("--events", "-", "nothing")
    assert done.returncode == 2
    assert lines(done.stdout)[-1]["event"] == "error"
    assert lines(done.stdout)[-1]["code"] == "usage"


def test_doctor_finds_this_machine_well() -> None:
    done = vfxswap("doctor", "--json", OCIO="")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert found["cpu"]["status"] == "ok"
    assert found["detector"]["status"] == "ok"
    assert found["version"]["text"].startswith(__version__)
    assert "OCIO config" in vfxswap("doctor").stdout


def test_doctor_says_what_is_broken() -> None:
    done = vfxswap("doctor", OCIO="/nowhere/config.ocio")
    assert done.returncode == 4
    assert "BAD  OCIO config" in done.stdout
    assert "/nowhere/config.ocio" in done.stdout
    assert "fix --color-config or $OCIO" in done.stdout
    assert "needs repair: OCIO config" in done.stderr


def test_a_bug_is_1_and_one_line_without_debug(probe: Probe) -> None:
    done = probe("bug")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "vfxswap: error: internal error: ZeroDivisionError: secret [bold]path[/bold]; "
        "this is a bug: run again with --debug and report what it prints"
    )


def test_a_bug_shows_a_traceback_with_debug(probe: Probe) -> None:
    done = probe("bug", "--debug")
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "vfxswap_probe.py" in done.stderr


def test_failed_frames_are_3_and_the_last_event_says_so(probe: Probe) -> None:
    done = probe("frames", "--events", "-")
    assert done.returncode == 3
    assert [line["event"] for line in lines(done.stdout)] == ["started", "frame_failed", "error"]
    last = lines(done.stdout)[-1]
    assert (last["code"], last["message"], last["hint"]) == ("frame", "1 of 3 frames failed (frame 2)", "run again")
    assert done.stderr == "vfxswap: error: 1 of 3 frames failed (frame 2); run again\n"


@pytest.mark.parametrize(("what", "code"), [("exit", 3), ("memory", 3), ("noise", 0)])
def test_exit_codes(probe: Probe, what: str, code: int) -> None:
    assert probe(what).returncode == code


def test_with_events_stdout_holds_nothing_else(probe: Probe) -> None:
    done = probe("noise", "--events", "-")
    assert [line["event"] for line in lines(done.stdout)] == ["started", "warning", *["progress"] * 3, "done"]
    times = [line["t"] for line in lines(done.stdout)]
    assert times == sorted(times)  # type: ignore[type-var]
    assert "from Python" in done.stderr
    assert "from a library" in done.stderr


def test_without_a_terminal_progress_is_plain_lines(probe: Probe) -> None:
    done = probe("noise")
    said = done.stderr.splitlines()
    assert said == ["probe: frames 1-3", "warning: frame 3: look [here]", "swap: 1/3", "swap: 3/3", "done: 3 rendered"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
def test_on_a_terminal_progress_is_a_bar(probe: Probe) -> None:
    ours, theirs = os.openpty()
    with probe.start("noise", stderr=theirs) as process:
        os.close(theirs)
        process.communicate(timeout=30)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "warning: frame 3: look [here]" in shown
    assert "swap" in shown
    assert "3/3" in shown
    assert "done: 3 rendered" in shown


def test_events_go_to_stdout_or_nowhere(probe: Probe) -> None:
    done = probe("noise", "--events", "log.ndjson")
    assert done.returncode == 2
    assert "only `-` (stdout) is possible" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_cancel_with_75(probe: Probe, number: signal.Signals) -> None:
    with probe.start("wait", "--events", "-") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "started"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 75
    assert lines(out)[-1]["code"] == "cancelled"
    assert "Traceback" not in err


def test_the_cancel_file_cancels_and_is_removed(probe: Probe, tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    with probe.start("wait", "--events", "-", "--job", str(job)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        cancel_file(job).touch()
        process.communicate(timeout=30)
    assert process.returncode == 75
    assert not cancel_file(job).exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_work_stops_when_the_host_is_gone(probe: Probe) -> None:
    with probe.start("wait", "--events", "-") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        time.sleep(0.1)
        process.terminate()
        process.wait(timeout=30)
    assert process.returncode == 75


def test_consent_from_key_to_withdrawal(tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE + "\n")
    secret = ("--passphrase-file", str(passphrase))
    ring, record = tmp_path / "ring", tmp_path / "ben.json"
    for kid, role in (("ben", "performer"), ("show", "production"), ("stop", "revocation")):
        made = vfxswap("consent", "keygen", str(ring), "--kid", kid, "--role", role, "--performer", "P-*", *secret)
        assert made.returncode == 0, made.stderr
    words = [
        "--performer",
        "P-1",
        "--role",
        "likeness",
        "--use",
        "swap",
        "--scope",
        "show/*/*",
        "--until",
        "2090-01-01",
    ]
    made = vfxswap("consent", "new", *words, "--purpose", "one shot", "--model", "any", "--output", str(record))
    assert made.returncode == 0, made.stderr
    assert vfxswap("consent", "verify", str(record), "--keyring", str(ring)).returncode == 77
    for kid in ("ben", "show"):
        signed = vfxswap("consent", "sign", str(record), "--key", str(ring / f"{kid}.key.pem"), *secret)
        assert signed.returncode == 0, signed.stderr
    assert "P-1" in vfxswap("consent", "show", str(record)).stdout
    stop = ("--key", str(ring / "stop.key.pem"), "--keyring", str(ring), *secret)
    renewed = vfxswap("consent", "revoke", *stop)
    assert renewed.returncode == 0, renewed.stderr
    assert vfxswap("consent", "verify", str(record), "--keyring", str(ring)).returncode == 0
    withdrawn = vfxswap("consent", "revoke", str(record), *stop)
    assert withdrawn.returncode == 0, withdrawn.stderr
    refused = vfxswap("consent", "verify", str(record), "--keyring", str(ring))
    assert refused.returncode == 77
    assert "VS-CON-004" in refused.stdout


def test_a_passphrase_is_never_asked_for_without_a_terminal(tmp_path: Path) -> None:
    done = vfxswap("consent", "keygen", str(tmp_path), "--kid", "a", "--role", "render", "--performer", "*")
    assert done.returncode == 2
    assert "--passphrase-file" in done.stderr


def test_a_missing_consent_is_77() -> None:
    done = vfxswap("consent", "show", "nowhere.json")
    assert done.returncode == 77
    assert done.stderr.startswith("vfxswap: error: VS-CON-001 no such file: nowhere.json")
