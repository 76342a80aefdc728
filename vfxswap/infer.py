"""Networks, run by ONNX Runtime. The only file that imports onnxruntime.

Vendored weights are looked up by role in `weights/models.toml` and checked against its sha256 before use.
A provider is only ever named when it can really be loaded: asking for CUDA on a machine without it makes the
runtime print errors, so CUDA is probed first.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import io
import os
import platform
import tomllib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort

from vfxswap.errors import ModelError
from vfxswap.pixels import AnyArray

Device = Literal["auto", "cpu", "cuda"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

# For whoever loaded the runtime before this package, which switches it off beforehand (vfxswap/__init__.py).
ort.disable_telemetry_events()

# Errors only: the runtime's warnings (unused initializers, node placement) say nothing a user can act on.
_SEVERITY_ERROR = 3


@dataclass(frozen=True)
class Weights:
    """One vendored model file as `models.toml` describes it."""

    role: str
    file: str
    sha256: str
    name: str
    license: str
    license_file: str
    source: str
    input: str
    changes: str = ""


@dataclass(frozen=True)
class Session:
    """A loaded network.

    Attributes:
        provider: the execution provider that runs it, e.g. `CPUExecutionProvider`.
        inputs, outputs: names in the graph's order.
        metadata: the custom metadata of the ONNX file.
    """

    provider: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metadata: Mapping[str, str] = field(repr=False)
    _handle: Any = field(repr=False)

    def run(self, feeds: Mapping[str, AnyArray] | None = None, **named: AnyArray) -> list[AnyArray]:
        """Run the network once and return its outputs in the order of `outputs`.

        Args:
            feeds: input name -> array, for names that are no Python identifiers.
            named: the same as keywords.

        Raises:
            ModelError: inputs are missing, unknown, or of a shape or type the network refuses.
        """
        given = {**(feeds or {}), **named}
        if set(given) != set(self.inputs):
            raise ModelError(
                f"the network wants inputs {', '.join(self.inputs)}, got {', '.join(sorted(given)) or 'none'}",
                hint="this is a model of another kind",
            )
        arrays = {name: np.ascontiguousarray(array) for name, array in given.items()}
        try:
            return [np.asarray(value) for value in self._handle.run(None, arrays)]
        except _ORT_ERRORS as error:
            raise ModelError(
                f"the network failed: {_first_line(error)}", hint="try --device cpu, or check the model file"
            ) from error


# What the runtime raises has no common base below Exception, so the classes are listed.
_ORT_ERRORS: tuple[type[Exception], ...] = (
    *(
        value
        for value in vars(ort.capi.onnxruntime_pybind11_state).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ),
    RuntimeError,
    ValueError,
)


def session(source: Path | bytes, *, device: Device = "auto", threads: int = 0) -> Session:
    """Load an ONNX file, or its bytes.

    Args:
        source: path or serialized model.
        device: `auto` takes CUDA where it works and else the CPU; `cuda` insists; `cpu` never looks for a GPU.
        threads: CPU threads for one network, 0 for one per physical core.

    Raises:
        ModelError: the file is missing or no ONNX model, or `device="cuda"` and CUDA cannot be used here.
    """
    reason = cuda_problem() if device != "cpu" else "not asked for"
    if device == "cuda" and reason:
        raise ModelError(f"CUDA cannot be used: {reason}", hint=_cuda_hint())
    if isinstance(source, Path) and not source.is_file():
        raise ModelError("no such model file", path=source, hint="check the path")
    kept, key = _kept.get(), None
    if kept is not None:
        key = (_identity(source), device, threads)
        if key in kept:
            kept[key] = kept.pop(key)  # the least lately used comes first
            return kept[key]
    providers: list[Any] = [CPU] if reason else [(CUDA, _CUDA_OPTIONS), CPU]
    model: str | bytes = str(source) if isinstance(source, Path) else source
    try:
        handle = ort.InferenceSession(model, _options(threads), providers=providers)
    except _ORT_ERRORS as error:
        path = source if isinstance(source, Path) else None
        raise ModelError(
            f"cannot load the network: {_first_line(error)}", path=path, hint="the file is damaged or not ONNX"
        ) from error
    used = str(handle.get_providers()[0])
    if device == "cuda" and used != CUDA:
        raise ModelError("CUDA was found but did not start", hint="check the driver with nvidia-smi, or --device cpu")
    loaded = Session(
        provider=used,
        inputs=tuple(value.name for value in handle.get_inputs()),
        outputs=tuple(value.name for value in handle.get_outputs()),
        metadata=dict(handle.get_modelmeta().custom_metadata_map),
        _handle=handle,
    )
    if kept is not None and key is not None:
        kept[key] = loaded
        while len(kept) > _KEPT:
            kept.pop(next(iter(kept)))
    return loaded


# More than one swap needs, few enough that a worker that lives all day does not fill the GPU.
_KEPT = 8

_Kept = dict[tuple[object, Device, int], Session]
_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextlib.contextmanager
def keeping_sessions() -> Iterator[None]:
    """Within it, `session` loads the same network once: for a worker that does job after job.

    Networks are known by content. What may be opened is not its business: consent is asked for before, each time.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def _identity(source: Path | bytes) -> object:
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    found = source.stat()
    return (str(source.absolute()), found.st_size, found.st_mtime_ns)


# Fixed algorithms and true float32, so that a frame renders the same on every run and node of one kind.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SEVERITY_ERROR
    options.use_deterministic_compute = True
    # Idle worker threads must not burn the cores that other processes of a render node need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights in files beside the network are none of the bytes whose hash a consent names: nothing lies here.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", f"{os.devnull}/none")
    return options


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# --------------------------------------------------------------------------------------------- providers


def providers() -> dict[str, str]:
    """What this machine can run networks on, for `vfxswap doctor`: provider -> "" if usable, else why not."""
    return {CPU: "", CUDA: cuda_problem()}


def runtime_version() -> str:
    """The onnxruntime version, for provenance records."""
    return str(ort.__version__)


@functools.cache
def cuda_problem() -> str:
    """Why CUDA cannot be used here, or "" when it can. Probed once per process, silently."""
    if CUDA not in ort.get_available_providers():
        return "this onnxruntime is built without CUDA"
    if not _driver_devices():
        return "no NVIDIA driver or no GPU"
    # Makes the libraries of pip's nvidia-* packages loadable; what it prints about missing ones is said below.
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()
    missing = [name for name in _cuda_libraries() if not _loadable(name)]
    return f"missing libraries: {', '.join(missing)}" if missing else ""


def _cuda_major() -> str:
    return str(getattr(ort, "cuda_version", "") or "12").split(".")[0]


def _cuda_libraries() -> list[str]:
    major = _cuda_major()
    if platform.system() == "Windows":
        return [f"cudart64_{major}.dll", f"cublas64_{major}.dll", f"cublasLt64_{major}.dll", "cudnn64_9.dll"]
    toolkit = [f"lib{name}.so.{major}" for name in ("cudart", "cublas", "cublasLt")]
    return [*toolkit, "libcurand.so.10", "libcudnn.so.9"]


def built_with() -> tuple[str, ...]:
    """The providers that this onnxruntime is built with; this package asks for CUDA and CPU, never for another."""
    return tuple(map(str, ort.get_available_providers()))


def cuda_remedy() -> str:
    """What would make CUDA usable here, for `vfxswap doctor`; "" when it is, or never can be."""
    problem = cuda_problem()
    if CUDA not in ort.get_available_providers():
        there_is_one = platform.system() in ("Linux", "Windows") and platform.machine() in ("x86_64", "AMD64")
        return "pip uninstall onnxruntime, then pip install onnxruntime-gpu" if there_is_one else ""
    if problem and not _driver_devices():
        return "nothing, without an NVIDIA GPU; with one install its driver, until nvidia-smi lists the GPU"
    return _cuda_hint() if problem else ""


def _cuda_hint() -> str:
    major = _cuda_major()
    return (
        f"onnxruntime {ort.__version__} needs an NVIDIA driver, CUDA {major} and cuDNN 9 "
        f"(pip install 'onnxruntime-gpu[cuda,cudnn]' brings the libraries), or use --device cpu"
    )


def _driver_devices() -> int:
    """Number of GPUs the NVIDIA driver reports, 0 without a driver."""
    name = "nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _loadable(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


# ----------------------------------------------------------------------------------------------- weights


def weights_folder() -> Path:
    """The folder of the vendored weights."""
    return Path(str(resources.files("vfxswap") / "weights"))


@functools.cache
def catalog() -> Mapping[str, Weights]:
    """Role -> vendored model, as read from `models.toml`."""
    return read_catalog(weights_folder() / "models.toml")


def read_catalog(path: Path) -> dict[str, Weights]:
    """Read a `models.toml`.

    Raises:
        ModelError: it is missing, not TOML, or an entry lacks a field.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        names = Weights.__dataclass_fields__
        return {
            role: Weights(role=role, **{key: str(value) for key, value in entry.items() if key in names})
            for role, entry in table.items()
        }
    except (OSError, tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise ModelError(f"cannot read the list of models: {error}", path=path, hint="reinstall vfxswap") from error


@functools.cache
def weights(role: str) -> Path:
    """The path of the vendored file for `role`, its sha256 checked once per process.

    Raises:
        ModelError: no such role, or the file is missing or is not what `models.toml` says.
    """
    entries = catalog()
    if role not in entries:
        raise ModelError(f"no vendored model for {role!r}", hint=f"there are {', '.join(sorted(entries))}")
    path = weights_folder() / entries[role].file
    verify(path, sha256=entries[role].sha256)
    return path


def verify(path: Path, *, sha256: str) -> None:
    """Raise ModelError unless the file's sha256 is `sha256`."""
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"model file {path.name} is missing", path=path, hint="reinstall vfxswap") from error
    if found != sha256:
        raise ModelError(
            f"model file {path.name} does not match its sha256 ({found[:12]}, expected {sha256[:12]})",
            path=path,
            hint="the file was altered or damaged: reinstall vfxswap",
        )
