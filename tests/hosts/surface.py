"""What types-nuke declares, and classes that offer nothing else."""

from __future__ import annotations

import ast
import inspect
import types
from importlib import metadata
from pathlib import Path
from typing import Any


def stub_folder() -> Path:
    """Where types-nuke is installed."""
    found = metadata.distribution("types-nuke")
    return Path(str(found.locate_file("nuke-stubs")))


class Surface:
    """What the stub declares: functions, classes with their methods and bases, and module-level names."""

    def __init__(self) -> None:
        self.functions: dict[str, list[inspect.Signature]] = {}
        self.methods: dict[str, dict[str, list[inspect.Signature]]] = {}
        self.bases: dict[str, list[str]] = {}
        self.names: set[str] = set()
        for path in sorted(stub_folder().glob("*.pyi")):
            if path.name.startswith("_") and path.name not in ("_nuke.pyi", "_nuke_color.pyi"):
                continue
            for node in ast.parse(path.read_text()).body:
                self._take(node)

    def _take(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef):
            self.functions.setdefault(node.name, []).append(_signature(node, method=False))
        elif isinstance(node, ast.ClassDef):
            self.bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
            methods = self.methods.setdefault(node.name, {})
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    methods.setdefault(item.name, []).append(_signature(item, method=True))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            self.names.add(node.target.id)

    def method(self, name: str, method: str) -> list[inspect.Signature] | None:
        """The declarations of a method, of the class or of what it is made from."""
        found = self.methods.get(name, {}).get(method)
        if found is not None:
            return found
        inherited = (self.method(base, method) for base in self.bases.get(name, []))
        return next((one for one in inherited if one is not None), None)


def _signature(node: ast.FunctionDef, *, method: bool) -> inspect.Signature:
    kinds, given = inspect.Parameter, node.args
    ordinary = [*given.posonlyargs, *given.args]
    first_default = len(ordinary) - len(given.defaults)
    found = [
        kinds(one.arg, kinds.POSITIONAL_OR_KEYWORD, default=None if i >= first_default else kinds.empty)
        for i, one in enumerate(ordinary)
    ]
    found = found[1:] if method and found else found
    if given.vararg:
        found.append(kinds(given.vararg.arg, kinds.VAR_POSITIONAL))
    found += [
        kinds(one.arg, kinds.KEYWORD_ONLY, default=None if default else kinds.empty)
        for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    if given.kwarg:
        found.append(kinds(given.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(found)


SURFACE = Surface()


class NotInStubError(Exception):
    """The fake offers, or is asked for, what types-nuke does not declare."""


def fits(signatures: list[inspect.Signature], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    problems = []
    for signature in signatures:
        try:
            signature.bind(*args, **kwargs)
            return
        except TypeError as error:
            problems.append(str(error))
    raise TypeError(f"nuke.{name}: {problems[0]}")


def strict(cls: type) -> type:
    """A class of the fake: its public methods exist in the stub, and are called as the stub says."""
    for name, value in list(vars(cls).items()):
        if name.startswith("_") or not isinstance(value, types.FunctionType | classmethod):
            continue
        declared = SURFACE.method(cls.__name__, name)
        if declared is None:
            raise NotInStubError(f"{cls.__name__}.{name}")
        setattr(cls, name, _checked(value, declared, f"{cls.__name__}.{name}"))

    def missing(self: Any, name: str) -> Any:
        if SURFACE.method(cls.__name__, name) is not None:
            raise NotImplementedError(f"{cls.__name__}.{name} is not faked")
        raise AttributeError(f"types-nuke: {cls.__name__} has no {name}")

    cls.__getattr__ = missing  # type: ignore[attr-defined]
    return cls


def _checked(value: Any, declared: list[inspect.Signature], name: str) -> Any:
    inner = value.__func__ if isinstance(value, classmethod) else value

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        fits(declared, name, args, kwargs)
        return inner(self, *args, **kwargs)

    return classmethod(call) if isinstance(value, classmethod) else call
