"""Small faults put into the gate's own functions, one at a time, while it runs.

A fault changes one condition: it is always or never true, `<` is `<=`, `and` is `or`, `not` is missing. The function's
code is replaced in the module that is loaded, and put back.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: function, and what was changed in which line.
        function: the live function.
        code: what it runs with the fault.
    """

    name: str
    function: types.FunctionType
    code: types.CodeType

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """With the fault in place."""
        healthy = self.function.__code__
        self.function.__code__ = self.code
        try:
            yield
        finally:
            self.function.__code__ = healthy


def mutants(module: types.ModuleType) -> Iterator[Mutant]:
    """Every fault of every function and method of a module."""
    tree = ast.parse(inspect.getsource(module))
    for path, node in _functions(tree):
        live = _live(module, path)
        if live is None:
            continue
        for at, fault in _faults(node):
            changed = copy.deepcopy(tree)
            target = dict(_functions(changed))[path]
            spot = list(ast.walk(target))[at]
            text = fault(target, spot)
            if text is None:
                continue
            yield Mutant(f"{'.'.join(path)}: {text}", live, _code(ast.fix_missing_locations(changed), path, module))


def _functions(tree: ast.Module) -> Iterator[tuple[tuple[str, ...], ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield (node.name,), node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield (node.name, inner.name), inner


def _live(module: types.ModuleType, path: tuple[str, ...]) -> types.FunctionType | None:
    found: Any = module
    for name in path:
        found = inspect.getattr_static(found, name)
    found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
    return found if isinstance(found, types.FunctionType) else None


def _code(tree: ast.Module, path: tuple[str, ...], module: types.ModuleType) -> types.CodeType:
    code = compile(tree, f"<mutant of {module.__name__}>", "exec")
    for name in path:
        code = next(one for one in code.co_consts if isinstance(one, types.CodeType) and one.co_name == name)
    return code


def _faults(function: ast.FunctionDef) -> Iterator[tuple[int, Any]]:
    for at, node in enumerate(ast.walk(function)):
        if isinstance(node, ast.If | ast.IfExp):
            yield at, _constant(True)
            yield at, _constant(False)
        elif isinstance(node, ast.comprehension):
            for number in range(len(node.ifs)):
                yield at, _kept(number)
        elif isinstance(node, ast.Compare):
            for number in range(len(node.ops)):
                yield at, _compared(number)
        elif isinstance(node, ast.BoolOp):
            yield at, _joined
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield at, _unnegated
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield at, _uncalled


def _constant(value: bool) -> Any:
    def fault(function: ast.FunctionDef, node: Any) -> str:
        text = ast.unparse(node.test)
        node.test = ast.Constant(value)
        return f"`{text}` is always {value} (line {node.test.lineno if hasattr(node.test, 'lineno') else node.lineno})"

    return fault


def _kept(number: int) -> Any:
    def fault(function: ast.FunctionDef, node: Any) -> str:
        text = ast.unparse(node.ifs.pop(number))
        return f"`if {text}` is missing"

    return fault


def _compared(number: int) -> Any:
    def fault(function: ast.FunctionDef, node: Any) -> str:
        before = ast.unparse(node)
        node.ops[number] = _COMPARED[type(node.ops[number])]()
        return f"`{before}` is `{ast.unparse(node)}` (line {node.lineno})"

    return fault


def _joined(function: ast.FunctionDef, node: Any) -> str:
    before = ast.unparse(node)
    node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    return f"`{before}` is `{ast.unparse(node)}` (line {node.lineno})"


def _unnegated(function: ast.FunctionDef, node: Any) -> str:
    before = ast.unparse(node)
    node.op = ast.UAdd()  # replaced below: `not x` is `bool(x)`
    for parent in ast.walk(function):
        for field, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, field, node.operand)
            elif isinstance(value, list) and any(one is node for one in value):
                value[[one is node for one in value].index(True)] = node.operand
    return f"`{before}` is without not (line {node.lineno})"


def _uncalled(function: ast.FunctionDef, node: Any) -> str:
    text = ast.unparse(node)
    node.value = ast.Constant(None)
    return f"`{text}` is not called"
