"""A job on a machine where its files lie elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vfxswap import job as job_module
from vfxswap.cli import farm_paths
from vfxswap.cli.farm_paths import VARIABLE, PathRules, Rule
from vfxswap.errors import JobError
from vfxswap.job import FaceSwap, SwapJob

from .conftest import Farm, execute


def _rules(*pairs: tuple[str, str], kind: str = "POSIX") -> PathRules:
    rules = [
        Rule.model_validate({"source_path_format": kind, "source_path": a, "destination_path": b}) for a, b in pairs
    ]
    return PathRules(tuple(sorted(rules, key=lambda rule: -len(rule.source_path))))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("/mnt/shows/a.exr", "/shows/a.exr"),
        ("/mnt/shows", "/shows"),
        ("/mnt/showstopper/a.exr", "/mnt/showstopper/a.exr"),
        ("/mnt/shows/old/a.exr", "/archive/a.exr"),
        ("/mnt/Shows/a.exr", "/mnt/Shows/a.exr"),
        ("relative/mnt/shows", "relative/mnt/shows"),
    ],
)
def test_posix(source: str, found: str) -> None:
    assert _rules(("/mnt/shows/", "/shows/"), ("/mnt/shows/old", "/archive")).path(source) == found


@pytest.mark.parametrize("source", ["Z:\\Shows\\a\\b.%04d.exr", "z:/shows/a/b.%04d.exr", "Z:\\shows/a\\b.%04d.exr"])
def test_windows(source: str) -> None:
    assert _rules(("Z:\\shows", "/mnt/shows"), kind="WINDOWS").path(source) == "/mnt/shows/a/b.%04d.exr"


def test_a_mapped_path_is_not_mapped_again() -> None:
    assert _rules(("/a", "/b"), ("/b", "/c")).path("/a/x") == "/b/x"


def test_every_path_of_a_job(tmp_path: Path) -> None:
    at = "/mnt/show"
    job = {
        "schema": "vfxswap.job/1", "plate": f"{at}/p.%04d.exr", "output": f"{at}/o.%04d.exr",
        "model": f"{at}/m.vfxmodel",
        "consents": [f"{at}/a.json", f"{at}/b.json"], "keyring": f"{at}/ring", "track": f"{at}/t.vfxtrack",
        "measurements": f"{at}/s.vfxshot", "lens": f"{at}/lens.exr", "color_config": f"{at}/config.ocio",
        "matte": [f"{at}/hand.####.exr:A,holdout"],
        "also": [
            {"face": "1", "model": f"{at}/n.vfxmodel", "measurements": f"{at}/n.vfxshot", "matte": [f"{at}/n.exr"]}
        ],
    }  # fmt: skip
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job))
    text = _rules((at, "/new")).job(path).to_json()
    assert at not in text
    assert text.count("/new/") == 14
    kept = json.loads(text)
    assert kept["matte"] == ["/new/hand.####.exr:A,holdout"]
    assert kept["color_config"] == "/new/config.ocio"


def test_no_path_of_a_job_is_forgotten() -> None:
    """A field that is added to the job is a path here as soon as it is one there."""
    assert {*farm_paths._ONE, *farm_paths._MANY} == job_module._PATHS | {"matte"}
    paths = {
        name
        for kind in (SwapJob, FaceSwap)
        for name, field in kind.model_fields.items()
        if "Path" in str(field.annotation)
    }
    assert paths <= {*farm_paths._ONE, *farm_paths._MANY}


def test_every_path_of_a_job_that_was_written_on_windows(tmp_path: Path) -> None:
    at = "Z:\\Show One"
    job = {
        "schema": "vfxswap.job/1", "plate": f"{at}\\p.%04d.exr", "output": f"{at}\\%V\\o.%04d.exr",
        "model": f"{at}\\m.vfxmodel", "consents": [f"{at}\\a.json"], "keyring": "\\\\nas\\ring",
        "track": f"{at}/t.vfxtrack", "measurements": f"{at}\\s.vfxshot",
        "lens": f"{at}\\lens.exr", "color_config": f"{at}\\config.ocio",
        "matte": [f"{at}\\hand.####.exr:A,holdout"],
        "also": [{"face": "1", "model": "z:/show one/n.vfxmodel", "matte": [f"{at}\\n.####.exr,invert"]}],
    }  # fmt: skip
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job))
    made = _rules((at, "/new/show"), ("\\\\NAS\\ring", "/ring"), kind="WINDOWS").job(path)
    text = made.to_json()
    assert "Z:" not in text and "z:" not in text and "\\" not in text
    assert text.count("/new/show/") == 11
    assert str(made.keyring) == "/ring" and made.output == "/new/show/%V/o.%04d.exr"
    assert made.matte == ("/new/show/hand.####.exr:A,holdout",)
    assert made.also[0].matte == ("/new/show/n.####.exr,invert",)


def test_a_config_of_ocio_itself_is_no_path(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    fields = {
        "schema": "vfxswap.job/1",
        "plate": "/a/p.exr",
        "output": "/a/o.####.exr",
        "model": "/a/m",
        "color_config": "ocio://x",
    }
    path.write_text(json.dumps(fields))
    assert _rules(("/a", "/b")).job(path).color_config == "ocio://x"


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_job_that_moved_renders_the_same(tracked: Farm, tmp_path: Path, by: str, monkeypatch) -> None:
    """Everything is moved, the old place is named nowhere but in the job, and the frames are the same."""
    moved = tmp_path / "moved"
    shutil.copytree(tracked.root, moved)
    shutil.copytree(tracked.studio.root, moved / "studio")
    shutil.rmtree(moved / "out")
    job = moved / "farm" / "job.json"
    text = job.read_text().replace(str(tracked.root), "Z:\\\\show").replace(str(tracked.studio.root), "Z:\\\\trust")
    job.write_text(text)
    assert str(tracked.root) not in text and str(tracked.studio.root) not in text
    file = tmp_path / "rules.json"
    rules = [
        {"source_path_format": "WINDOWS", "source_path": "Z:\\show", "destination_path": str(moved)},
        {"source_path_format": "WINDOWS", "source_path": "Z:\\trust", "destination_path": str(moved / "studio")},
    ]
    file.write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": rules}))
    options = ["--path-rules", str(file)] if by == "option" else []
    if by == "variable":
        monkeypatch.setenv(VARIABLE, str(file))
    assert execute("farm", "work", "swap", str(job), *options) == 0
    assert Farm(moved, tracked.studio).digests() == tracked.digests()


@pytest.mark.parametrize("text", ["", "[]", '{"path_mapping_rules": [{}]}', '{"version": "2"}'])
def test_what_is_no_file_of_rules(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text(text)
    with pytest.raises(JobError, match="not a file of path mapping rules"):
        PathRules.load(path, {})


def test_no_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text("{}")  # what a session without rules hands over
    assert PathRules.load(path, {}).rules == ()
    with pytest.raises(JobError, match="cannot read the path rules"):
        PathRules.load(tmp_path / "none.json", {})
