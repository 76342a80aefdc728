"""The bridge against the job's schema and against the real worker."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import vfxswap_bridge as bridge
from vfxswap_bridge import worker

from vfxswap.job import SwapJob, SwapParameters, schema_json

ROOT = Path(__file__).parents[2]
HOSTS = [*(ROOT / "hosts").rglob("*.py")]


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(what: Any, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


# ---------------------------------------------------------------------------------------------- contract


def test_the_fields_are_the_schemas() -> None:
    schema = json.loads(schema_json())
    assert list(bridge.FIELDS) == list(schema["properties"])
    assert list(bridge.PARAMETERS) == list(schema["$defs"]["SwapParameters"]["properties"])
    assert schema["properties"]["schema"]["const"] == bridge.SCHEMA


def test_a_written_job_is_valid_and_means_what_was_said(tmp_path: Path, demo_fields: dict[str, Any]) -> None:
    path = tmp_path / "Ünï cödé folder" / "job.json"
    bridge.write(str(path), {**demo_fields, "lens": None, "parameters": {"relight": 0.5}, "matte": ["a b.exr:A"]})
    data = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(data, json.loads(schema_json()))
    job = SwapJob.load(path)
    assert job.parameters == SwapParameters(relight=0.5)
    assert (job.host, job.lens, job.output) == ("test", "", demo_fields["output"])
    assert bridge.read(str(path)) == data
    assert [item.name for item in path.parent.iterdir()] == ["job.json"]


def test_an_unknown_field_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for wrong in ({"plat": "x"}, {"parameters": {"mixx": 1}}):
        with pytest.raises(bridge.BridgeError, match=r"no field '(plat|mixx)'"):
            bridge.write(str(tmp_path / "job.json"), wrong)
    assert not list(tmp_path.iterdir())


def test_a_job_that_is_none_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    with pytest.raises(bridge.BridgeError, match="cannot read the job"):
        bridge.read(str(path))
    path.write_text("{")
    with pytest.raises(bridge.BridgeError, match="not JSON"):
        bridge.read(str(path))
    path.write_text('{"schema": "vfxswap.job/9"}')
    with pytest.raises(bridge.BridgeError, match="no job of this version"):
        bridge.read(str(path))


@pytest.mark.parametrize("path", HOSTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_host_code_is_python_3_9_and_standard_library(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    ours = {"nuke", "vfxswap_bridge", "vfxswap_farm", "vfxswap_nuke", "vfxswap_resolve"}
    if "publish" in path.relative_to(ROOT).parts:  # runs where Pyblish is
        ours |= {"pyblish", "vfxswap_publish"}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | ours


# ------------------------------------------------------------------------------------------------ launch


def test_the_hosts_libraries_stay_with_the_host() -> None:
    host = {
        "PYTHONHOME": "/nuke",
        "PYTHONPATH": "/nuke/lib",
        "LD_LIBRARY_PATH": "/nuke",
        "LD_PRELOAD": "x.so",
        "QT_PLUGIN_PATH": "/nuke/qt",
        "DYLD_LIBRARY_PATH": "/nuke",
        "OCIO": "/show/config.ocio",
        "HOME": "/home/a",
    }
    assert bridge.environment(host) == {"OCIO": "/show/config.ocio", "HOME": "/home/a", "PYTHONUTF8": "1"}
    assert bridge.environment({**host, "VFXSWAP_LD_LIBRARY_PATH": "/cuda"})["LD_LIBRARY_PATH"] == "/cuda"


def test_how_vfxswap_is_found(tmp_path: Path) -> None:
    assert bridge.command({"VFXSWAP_PYTHON": sys.executable}) == [sys.executable, "-m", "vfxswap"]
    with pytest.raises(bridge.BridgeError, match="VFXSWAP_PYTHON is '/no/python', which is no program"):
        bridge.command({"VFXSWAP_PYTHON": "/no/python"})
    with pytest.raises(bridge.BridgeError, match="vfxswap hosts install nuke"):
        bridge.command({"PATH": str(tmp_path)})
    script = tmp_path / "vfxswap"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert bridge.command({"PATH": str(tmp_path)}) == [str(script)]


def test_lines_that_are_no_events_are_passed_over() -> None:
    assert bridge.parse('{"v":1,"event":"done","counts":{}}\n') == {"v": 1, "event": "done", "counts": {}}
    for line in ("", "warning: something", "{", '{"v":1}', "[1]", '{"event": 3}'):
        assert bridge.parse(line) is None


# ---------------------------------------------------------------------------------------------- the work


def test_a_job_is_done_by_the_real_worker(tmp_path: Path, demo_fields: dict[str, Any]) -> None:
    job = str(tmp_path / "job.json")
    bridge.write(job, demo_fields)
    seen: list[dict[str, Any]] = []
    handle = bridge.start(job, on_event=seen.append)
    outcome = handle.wait(120)
    assert outcome is not None
    assert outcome.ok, f"{outcome} {Path(handle.log).read_text()}"
    assert outcome.counts == {"rendered": 3, "skipped": 0, "passthrough": 0, "failed": 0}
    assert seen[0]["event"] == "started"
    assert [event["frame"] for event in seen if event["event"] == "frame_done"] == [1003, 1004, 1005]
    assert (handle.stage, handle.done, handle.total) == ("swap", 3, 3)
    assert "dwaa" in " ".join(outcome.warnings)
    again = bridge.start(job, frames="1004").wait(120)
    assert again is not None
    assert again.counts["skipped"] == 1


def test_refusals_arrive_word_for_word(tmp_path: Path, demo_fields: dict[str, Any]) -> None:
    job = str(tmp_path / "job.json")
    bridge.write(job, {**demo_fields, "consents": demo_fields["consents"][:1]})
    outcome = bridge.start(job).wait(60)
    assert outcome is not None
    assert outcome.code == 77
    assert "VS-CON-001" in outcome.message
    assert "--consent" in outcome.hint
    assert not (tmp_path / "out").exists()
    log = Path(job + ".log").read_text()
    assert "VS-CON-001" in log


def test_a_cancelled_job_leaves_whole_frames_and_no_process(tmp_path: Path, demo_fields: dict[str, Any]) -> None:
    job = str(tmp_path / "job.json")
    bridge.write(job, demo_fields)

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "started":
            handle.cancel()

    handle = bridge.start(job, on_event=stop)
    outcome = handle.wait(60)
    assert outcome is not None
    assert outcome.cancelled
    assert len(list((tmp_path / "out").glob("*.exr"))) < 3
    assert not list(tmp_path.rglob("*.tmp"))
    assert not Path(job + ".cancel").exists()


def test_a_worker_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "GRACE", 0.3)
    stubborn = tmp_path / "stubborn.py"
    stubborn.write_text(
        textwrap.dedent("""
            import os, signal, subprocess, sys, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            print('{"event":"started","pid":%d,"child":%d}' % (os.getpid(), child.pid), flush=True)
            time.sleep(60)
        """)
    )
    pids: list[int] = []
    handle = bridge.start(
        str(tmp_path / "job.json"),
        on_event=lambda event: pids.extend([event["pid"], event["child"]]),
        words=[sys.executable, str(stubborn)],
    )
    assert until(lambda: pids)
    handle.cancel()
    outcome = handle.wait(10)
    assert outcome is not None
    assert outcome.cancelled
    assert until(lambda: not any(map(alive, pids)))


def test_a_killed_worker_is_named(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    outcome = bridge.start(str(tmp_path / "job.json"), words=[sys.executable, "-c", code]).wait(10)
    assert outcome is not None
    assert outcome.code == -signal.SIGKILL
    assert "killed by signal 9" in str(outcome)


def test_short_commands() -> None:
    code, out, _ = bridge.call(["--version"], timeout=60)
    assert (code, out.split()[0]) == (0, "vfxswap")
    code, _, complaints = bridge.call(["track", "export", "/no.vfxtrack", "--to", "json", "--output", "/x.json"])
    assert code == 4
    assert "/no.vfxtrack" in complaints


# ------------------------------------------------------------------------------------------- warm worker


@pytest.fixture
def warm() -> Any:
    made = bridge.WarmWorker()
    yield made
    made.close()


def test_a_warm_worker_does_job_after_job(tmp_path: Path, demo_fields: dict[str, Any], warm: Any) -> None:
    job, other = str(tmp_path / "job.json"), str(tmp_path / "other.json")
    bridge.write(job, demo_fields)
    bridge.write(other, {**demo_fields, "output": str(tmp_path / "cold" / "swapped.%04d.exr")})
    pids = set()
    for frame in ("1003", "1004", "1005"):
        outcome = warm.submit(job, frames=frame).wait(120)
        pids.add(warm.pid)
        assert outcome.ok, outcome
        assert outcome.counts["rendered"] == 1
    assert len(pids) == 1
    assert bridge.start(other).wait(120).ok  # type: ignore[union-attr]
    for name in (f"swapped.{number}.exr" for number in (1003, 1004, 1005)):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "cold" / name).read_bytes()


def test_what_is_complained_of_at_the_end_of_a_job_is_in_its_log(tmp_path: Path) -> None:
    """Events and complaints come by two pipes: the end may be read before the last complaint."""
    code = """
        import sys, time
        for _ in sys.stdin:
            print('{"event": "finished", "code": 3}', flush=True)
            time.sleep(0.5)
            print("error: late", file=sys.stderr, flush=True)
    """
    job = tmp_path / "job.json"
    made = bridge.WarmWorker([sys.executable, "-c", textwrap.dedent(code)])
    try:
        handle = made.submit(str(job))
        assert handle is not None
        outcome = handle.wait(20)
        assert outcome is not None and outcome.code == 3
        log = Path(handle.log)
        assert until(lambda: log.exists() and log.read_text() == "error: late\n", 5)
    finally:
        made.close()


def test_consent_is_asked_for_again_for_every_job(tmp_path: Path, demo_fields: dict[str, Any], warm: Any) -> None:
    import shutil

    ring = tmp_path / "ring"
    shutil.copytree(demo_fields["keyring"], ring)
    job = str(tmp_path / "job.json")
    bridge.write(job, {**demo_fields, "keyring": str(ring)})
    assert warm.submit(job, frames="1003").wait(120).ok
    (ring / "revocations.json").unlink()
    refused = warm.submit(job, frames="1004").wait(120)
    assert refused.code == 77
    assert "VS-CON-005" in refused.message
    assert not (tmp_path / "out" / "swapped.1004.exr").exists()


def test_a_warm_worker_takes_one_job_at_a_time(tmp_path: Path, demo_fields: dict[str, Any], warm: Any) -> None:
    job = str(tmp_path / "job.json")
    bridge.write(job, demo_fields)
    handle = warm.submit(job)
    assert warm.submit(job) is None
    handle.cancel()
    assert handle.wait(60).cancelled
    outcome = warm.submit(job).wait(120)
    assert outcome.ok


def test_closing_ends_the_process(tmp_path: Path, demo_fields: dict[str, Any], warm: Any) -> None:
    job = str(tmp_path / "job.json")
    bridge.write(job, demo_fields)
    handle = warm.submit(job)
    pid = warm.pid
    warm.close()
    assert handle.wait(20) is not None
    assert handle.outcome.code in (75, -9, -15, 1)
    assert not alive(pid)


@pytest.mark.parametrize("kind", ["warm", "cold"])
def test_a_worker_never_outlives_its_host(tmp_path: Path, demo_fields: dict[str, Any], kind: str) -> None:
    """The host is killed without a chance to say anything; while a job is done, and while nothing is."""
    job = str(tmp_path / "job.json")
    bridge.write(job, demo_fields)
    host = tmp_path / "host.py"
    host.write_text(
        textwrap.dedent(f"""
            import sys, time
            sys.path.insert(0, {str(ROOT / "hosts" / "bridge")!r})
            import vfxswap_bridge as bridge
            from vfxswap_bridge import worker
            spawned = []
            spawn = worker._spawn
            worker._spawn = lambda *a, **k: spawned.append(spawn(*a, **k)) or spawned[-1]
            def tell(event):
                print(spawned[0].pid, event["event"], flush=True)
            if {kind!r} == "warm":
                bridge.WarmWorker().submit({job!r}, on_event=tell)
            else:
                bridge.start({job!r}, on_event=tell)
            time.sleep(60)
        """)
    )
    process = subprocess.Popen([sys.executable, str(host)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline().split()[0])
    assert alive(pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert until(lambda: not alive(pid), 15)
    assert not list(tmp_path.rglob("*.tmp"))


def test_networks_are_kept_by_content_and_only_within(tmp_path: Path) -> None:
    from vfxswap import infer

    def load(source: Path | bytes, threads: int = 0) -> infer.Session:
        return infer.session(source, device="cpu", threads=threads)

    one = infer.weights("blendshapes")
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(one.read_bytes())
    with infer.keeping_sessions():
        first = load(one)
        assert load(one) is first
        assert load(one, threads=1) is not first
        assert load(one.read_bytes()) is load(copy.read_bytes())
        before = load(copy)
        os.utime(copy, (1, 1))
        assert load(copy) is not before
    assert load(one) is not first
    with infer.keeping_sessions():
        assert load(one) is not first


def test_requests_that_are_none_are_answered(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vfxswap", "run", "--serve", "--events", "-"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = [json.loads(process.stdout.readline())]
    for line in ("rubbish", '{"id":"1"}', '{"id":"2","job":"--help"}', '{"id":"3","job":"a","more":1}'):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        said += [json.loads(process.stdout.readline()) for _ in range(2)]
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()
    assert said[0]["event"] == "ready"
    assert [(one["event"], one.get("id"), one.get("code")) for one in said[1:]] == [
        ("error", None, "usage"),
        ("finished", "", 2),
        ("error", None, "usage"),
        ("finished", "1", 2),
        ("error", None, "job"),
        ("finished", "2", 4),
        ("error", None, "usage"),
        ("finished", "3", 2),
    ]


# ------------------------------------------------------------------------------------------------- stale


def test_what_makes_a_render_stale(tmp_path: Path, demo_fields: dict[str, Any]) -> None:
    plate, model = tmp_path / "plate.1003.exr", tmp_path / "m.vfxmodel"
    plate.write_text("a")
    model.write_text("b")
    job = {**demo_fields, "model": str(model)}
    key = bridge.fingerprint(job, files=[str(plate)])
    assert len(key) == 32
    same: list[dict[str, Any]] = [
        {"frames": "1-2"},
        {"output": "x"},
        {"device": "cuda"},
        {"host": "nuke"},
        {"overwrite": True},
        {"lens": ""},
    ]
    for change in same:
        assert bridge.fingerprint({**job, **change}, files=[str(plate)]) == key
    other: list[dict[str, Any]] = [
        {"face": "1"},
        {"parameters": {"relight": 0.4}},
        {"color_space": "ACEScg"},
        {"matte": ["m.exr"]},
    ]
    others = {bridge.fingerprint({**job, **change}, files=[str(plate)]) for change in other}
    others.add(bridge.fingerprint(job, files=[str(plate)], upstream="123"))
    os.utime(plate, (1, 1))
    others.add(bridge.fingerprint(job, files=[str(plate)]))
    plate.unlink()
    others.add(bridge.fingerprint(job, files=[str(plate)]))
    model.write_text("longer")
    others.add(bridge.fingerprint(job, files=[str(plate)]))
    assert key not in others
    assert len(others) == 8
