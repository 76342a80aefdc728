"""What the gate's promise stands on in the source: who opens models, who makes grants, who looks at the environment."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(
    path for folder in ("vfxswap", "hosts", "gizmos", "examples") for path in (ROOT / folder).rglob("*.py")
)

HOMES: dict[str, set[str]] = {
    "InferenceSession": {"vfxswap/infer.py"},
    # Networks of the trackers (doctor loads one to see whether CUDA works), exports that are tried out before they are
    # written, and the one loader of swap models.
    "infer.session": {
        "vfxswap/bench/cases.py",
        "vfxswap/cli/doctor_machine.py",
        *(f"vfxswap/face/{name}.py" for name in ("detect", "hands", "identity", "landmarks", "person")),
        *(f"vfxswap/models/{name}.py" for name in ("export", "quantize", "torchscript")),
        "vfxswap/vfxmodel.py",
    },
    "SwapModel": {"vfxswap/pipeline.py", "vfxswap/cli/bench.py"},
    # Checkpoints: the trainer, the exporter and a warm start, each under a grant. The judge copies its own average.
    "load_state_dict": {"vfxswap/train/checkpoint.py", "vfxswap/train/adversarial.py"},
    "safe_open": {"vfxswap/train/checkpoint.py"},
    "load_file": {"vfxswap/train/checkpoint.py"},
    "load_tensors": {f"vfxswap/train/{name}.py" for name in ("checkpoint", "package", "warm")},
    "load_whole": {"vfxswap/train/loop.py"},
    "load_from_string": {f"vfxswap/models/{name}.py" for name in ("export", "quantize")},
    "onnx.load": {"vfxswap/models/quantize.py"},
    "jit.load": {"vfxswap/models/torchscript.py"},  # of bytes that it has just made
    "Grant": {"vfxswap/trust/consent.py"},
    **{
        name: set()
        for name in ("torch.load", "pickle.load", "pickle.loads", "joblib.load", "load_model",
                     "from_pretrained", "load_weights")
    },
}  # fmt: skip
"""Call -> the files that may make it."""


@functools.cache
def calls(path: Path) -> frozenset[str]:
    """The last two names of every call: `infer.session(...)`, `Grant(...)`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        ".".join(ast.unparse(node.func).split(".")[-2:]) for node in ast.walk(tree) if isinstance(node, ast.Call)
    )


def homes(name: str) -> set[str]:
    """The shipped files that call it, by its last name or with the one before."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in SHIPPED
        if any(call == name or call.endswith("." + name) for call in calls(path))
    }


@pytest.mark.parametrize("name", HOMES)
def test_models_are_opened_where_a_grant_is_asked_for(name: str):
    assert homes(name) <= HOMES[name], f"{name} is called somewhere new: does a grant come before it?"


def test_the_search_finds_what_is_there():
    assert len(SHIPPED) > 150
    for name in ("InferenceSession", "infer.session", "SwapModel", "load_state_dict", "load_file", "Grant"):
        assert homes(name) == HOMES[name]


@pytest.mark.parametrize(
    ("file", "call"),
    [
        ("vfxswap/vfxmodel.py", "Grant.require"),
        ("vfxswap/train/loop.py", "Grant.require"),
        ("vfxswap/train/package.py", "Grant.require"),
        ("vfxswap/faceset/build.py", "Grant.require_performer"),
    ],
)
def test_a_loader_asks_before_it_reads(file: str, call: str):
    """In the function that opens, the question comes before the opening."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    opens = {"infer.session", "checkpoint.load_tensors", "builder.add", "checkpoint.load_state"}
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        found = [(node.lineno, ".".join(ast.unparse(node.func).split(".")[-2:])) for node in ast.walk(function)
                 if isinstance(node, ast.Call)]  # fmt: skip
        asked = [line for line, name in found if name == call]
        if asked:
            assert all(line > min(asked) for line, name in found if name in opens)
            return
    pytest.fail(f"{file} asks for no grant")


def test_imports_give_no_other_name_to_what_opens_models():
    for path in SHIPPED:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom | ast.Import):
                renamed = [alias.name for alias in node.names if alias.asname and alias.name in HOMES]
                assert not renamed, f"{path} renames {renamed}"


def test_the_gate_looks_at_no_environment():
    """But for where the default key ring lies."""
    found = []
    for path in (ROOT / "vfxswap" / "trust").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(inner, ast.Attribute) and ast.unparse(inner) in ("os.environ", "os.getenv", "os.environb")
                for inner in ast.walk(node)
            ):
                found.append(node.name)
    assert found == ["default_keyring"]


def test_no_test_makes_a_grant_or_replaces_the_gate():
    """Grants come from real consents. Two files make one by hand, to see it refused."""
    allowed = {"tests/trust/test_consent.py", "tests/trust/asked.py", "tests/trust/test_sources.py"}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text(encoding="utf-8")
        if name in allowed:
            continue
        tree = ast.parse(text)
        made = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)
                and ast.unparse(node.func).rpartition(".")[2] in ("Grant", "ConsentRef")]  # fmt: skip
        assert not made, f"{name} makes {made}"
        assert not re.search(r"consent\._TOKEN|import .*\b_TOKEN", text), name
        replaced = [
            ast.unparse(node)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("setattr")
            and any(word in ast.unparse(node) for word in ("Gate", "Grant", "authorize", "KeyRing", "is_signature"))
        ]
        assert not replaced, f"{name} replaces {replaced}"
