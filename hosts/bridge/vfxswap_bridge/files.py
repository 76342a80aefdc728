"""Files that are either there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import tempfile

from vfxswap_bridge.errors import BridgeError


def write_text(path: str, text: str) -> None:
    """Write beside the target, then rename; folders are made.

    Raises:
        BridgeError: it cannot be written there.
    """
    folder = os.path.dirname(os.path.abspath(path))
    temporary = ""
    try:
        os.makedirs(folder, exist_ok=True)
        prefix = f".{os.path.basename(path)}.{socket.gethostname()}.{os.getpid()}."
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=prefix, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            remove(temporary)
        raise BridgeError(f"cannot write {path}: {error.strerror}", "check the folder's permissions") from error


def sha256(path: str) -> str:
    """Hexadecimal sha256 of a file; raises BridgeError where it cannot be read."""
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for part in iter(lambda: file.read(1 << 20), b""):
                found.update(part)
    except OSError as error:
        raise BridgeError(f"cannot read {path}: {error.strerror}", "check the path") from error
    return found.hexdigest()


def remove(path: str) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
