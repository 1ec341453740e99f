"""The types that an annotation allows, read from the source of its module.

Nothing is imported: a builder's module would import TensorFlow. Imports, aliases and unions are followed until they
lead to types of `models.hyperparameters` or to a `Literal`; `object` stands for whatever cannot be followed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from conf.schema import ConfigError, did_you_mean
from models import hyperparameters
from sweeps.software import source_of


class Source:
    """The source of a module; raises `OSError`, `SyntaxError` or `ValueError` if it cannot be read."""

    def __init__(self, module: str, path: Path) -> None:
        self.tree = ast.parse(path.read_bytes())
        self.imports: dict[str, str] = {}  # name -> its dotted name
        self.aliases: dict[str, ast.expr] = {}
        self._package = module if path.stem == "__init__" else module.rpartition(".")[0]
        for statement in _statements(self.tree):
            self._bind(statement)

    def types(self, annotation: ast.expr | None) -> list[Any]:
        """Return the types of which an annotation is the union.

        Raises `ConfigError` if it leads to a type of `models.hyperparameters` that does not exist, `RecursionError` if
        it leads to itself, and `SyntaxError` if it is a text but not an expression.
        """
        match annotation:
            case ast.Constant(None):
                return [NoneType]
            case ast.Constant(str() as text):
                return self.types(ast.parse(text.strip(), mode="eval").body)
            case ast.BinOp(left, ast.BitOr(), right):
                return self.types(left) + self.types(right)
            case ast.Subscript(ast.Name("Optional") | ast.Attribute(attr="Optional"), argument):
                return [*self.types(argument), NoneType]
            case ast.Subscript(ast.Name("Union") | ast.Attribute(attr="Union"), ast.Tuple(arguments)):
                return [type_ for argument in arguments for type_ in self.types(argument)]
            case ast.Subscript(ast.Name("Literal") | ast.Attribute(attr="Literal"), names):
                with suppress(ValueError):  # not of constants
                    return [Literal[ast.literal_eval(names)]]  # of a tuple, all its members
            case ast.Name(name) if name in self.aliases:
                return self.types(self.aliases[name])
            case ast.Name() | ast.Attribute():
                first, dot, rest = ast.unparse(annotation).partition(".")
                return _types_of(f"{self.imports.get(first, first)}{dot}{rest}")
        return [object]

    def _bind(self, statement: ast.AST) -> None:
        match statement:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, ast.expr() as value):
                self.aliases[name] = value
            case ast.Import(imports):  # a name without an alias stands for itself
                self.imports |= {imported.asname: imported.name for imported in imports if imported.asname}
            case ast.ImportFrom(module, imports, level):
                package = self._package.rsplit(".", level - 1)[0] if level else ""
                origin = ".".join(filter(None, (package, module)))
                for imported in imports:
                    if imported.name != "*":
                        self.imports[imported.asname or imported.name] = f"{origin}.{imported.name}"
                    elif source := _read(origin):
                        self.imports |= {name: f"{origin}.{name}" for name in (*source.imports, *source.aliases)}


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements that run when a module is imported, those under `if`, `try` and `with` too."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            yield child
            yield from _statements(child)


def _types_of(dotted: str) -> list[Any]:
    """Return the types of a dotted name, from the source of the innermost module in it."""
    module, _, name = dotted.rpartition(".")
    if module == hyperparameters.__name__:
        if not hasattr(hyperparameters, name):
            raise ConfigError(f"{module} has no '{name}'{did_you_mean(name, vars(hyperparameters))}")
        return [getattr(hyperparameters, name)]
    while module:
        if source := _read(module):
            return source.types(ast.parse(name, mode="eval").body)
        module, _, last = module.rpartition(".")
        name = f"{last}.{name}"
    return [object]


def _read(module: str) -> Source | None:
    path = source_of(module)
    try:
        return Source(module, path) if path else None
    except (OSError, SyntaxError, ValueError, RecursionError):  # the last if modules import `*` from each other
        return None
