"""The values that an annotation allows, read from the source of its module.

Nothing is imported: a builder's module would import TensorFlow. An annotation has bounds if it leads, by whatever
imports, aliases and unions, to an `Annotated` type with `models.hyperparameters.Bounds`.
"""

from __future__ import annotations

import ast
import importlib.util
import math
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from conf.schema import ConfigError, did_you_mean
from models.hyperparameters import Bounds

BOUNDS_MODULE = Bounds.__module__
BOUNDS = f"{BOUNDS_MODULE}.{Bounds.__name__}"
TYPE_ALIAS: Any = getattr(ast, "TypeAlias", ())  # the node of `type Units = Size`, from Python 3.12 on


class AnnotationError(ValueError):
    """An annotation is meant to have bounds, but none can be read."""


class Kind(NamedTuple):
    """One of the types that an annotation allows, with its bounds."""

    type_: type
    bounds: tuple[Bounds, ...] = ()

    @property
    def allowed(self) -> str:
        return " and ".join(bounds.allowed for bounds in self.bounds)

    def holds(self, value: Any) -> bool:
        is_of_type = is_number(value) and (self.type_ is not int or isinstance(value, int))
        return is_of_type and all(bounds.hold(value) for bounds in self.bounds)


ANY = Kind(object)
PLAIN = {"int": Kind(int), "float": Kind(float), "None": Kind(NoneType)}


class Limits(NamedTuple):
    """The values that an annotation allows: those of any of its kinds."""

    kinds: tuple[Kind, ...] = (ANY,)

    @property
    def optional(self) -> bool:
        """Whether None is allowed."""
        return PLAIN["None"] in self.kinds

    @property
    def bounded(self) -> tuple[Kind, ...]:
        """The kinds besides None if all of them have bounds; otherwise empty, as then any value is allowed."""
        kinds = tuple(kind for kind in self.kinds if kind != PLAIN["None"])
        return kinds if all(kind.bounds for kind in kinds) else ()

    def check(self, key: str, value: Any) -> None:
        """Raise `ConfigError` for a value that is not allowed; None is not held against the bounds."""
        if self.bounded and not any(kind.holds(value) for kind in self.bounded):
            raise ConfigError(f"{key}={value}: must be {' or '.join(kind.allowed for kind in self.bounded)}")


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class SourceModule:
    """The source of a module, and what each name at its top level stands for.

    A name stands for a dotted name (of an import, a class, a function or an alias of these) or for an expression.
    Raises `OSError`, `SyntaxError` or `ValueError` for a source that cannot be read.
    """

    def __init__(self, name: str, path: Path, readers: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.tree = ast.parse(path.read_bytes())
        self.names: dict[str, str | ast.expr] = {}
        self._package = name if path.stem == "__init__" else name.rpartition(".")[0]
        self._readers = readers | {name}  # modules that import everything of one another are read once
        for node in _statements(self.tree):
            self._bind(node)

    def limits(self, annotation: ast.expr | None) -> Limits:
        """Return the values that an annotation in this module allows; raises `AnnotationError`."""
        return Limits(self.kinds(annotation, frozenset())) if annotation else Limits()

    def kinds(self, annotation: ast.expr, seen: frozenset[str]) -> tuple[Kind, ...]:
        """Return the kinds that an annotation allows; `seen` are the names that led to it."""
        match annotation:
            case ast.Constant(value=None):
                return (PLAIN["None"],)
            case ast.Constant(value=str() as text):
                return self._kinds_of_text(text, seen)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self.kinds(left, seen) + self.kinds(right, seen)
            case ast.Subscript(value=generic, slice=arguments):
                elements = arguments.elts if isinstance(arguments, ast.Tuple) else [arguments]
                return self._kinds_of_generic(self._dotted(generic), elements, seen)
            case ast.Name(id=name) if isinstance(expression := self.names.get(name), ast.expr):
                step = f"{self.name}:{name}"
                return (ANY,) if step in seen else self.kinds(expression, seen | {step})
            case _:
                return _kinds_of_name(self._dotted(annotation), seen)

    def _kinds_of_text(self, text: str, seen: frozenset[str]) -> tuple[Kind, ...]:
        try:
            return self.kinds(ast.parse(text.strip(), mode="eval").body, seen)
        except SyntaxError:
            return (ANY,)

    def _kinds_of_generic(self, generic: str, arguments: list[ast.expr], seen: frozenset[str]) -> tuple[Kind, ...]:
        first, *others = arguments
        match generic.removeprefix("typing_extensions.").removeprefix("typing."):
            case "Annotated":
                bounds = tuple(bounds for node in others if (bounds := self._bounds(node)) is not None)
                return tuple(kind._replace(bounds=kind.bounds + bounds) for kind in self.kinds(first, seen))
            case "Union":
                return tuple(kind for argument in arguments for kind in self.kinds(argument, seen))
            case "Optional":
                return (*self.kinds(first, seen), PLAIN["None"])
        return (ANY,)

    def _bounds(self, node: ast.expr) -> Bounds | None:
        """Return the bounds that an expression creates; None if it creates something else."""
        if not isinstance(node, ast.Call) or self._dotted(node.func) != BOUNDS:
            return None
        try:
            values = [ast.literal_eval(argument) for argument in node.args]
            return Bounds(
                *values, **{str(argument.arg): ast.literal_eval(argument.value) for argument in node.keywords}
            )
        except (ValueError, TypeError) as error:
            raise AnnotationError(f"{ast.unparse(node)} must be written in plain numbers and texts") from error

    def _dotted(self, node: ast.expr) -> str:
        """Return the dotted name that an expression stands for; an empty text if it is more than a name."""
        match node:
            case ast.Name(id=name):
                target = self.names.get(name, name)
                return target if isinstance(target, str) else ""
            case ast.Attribute(value=value, attr=attribute):
                return f"{self._dotted(value)}.{attribute}"
        return ""

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.Import(names=imports):
                for imported in imports:
                    top = imported.name.partition(".")[0]
                    self.names[imported.asname or top] = imported.name if imported.asname else top
            case ast.ImportFrom(names=imports):
                self._bind_imports_from(self._origin(node), imports)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                self.names[name] = f"{self.name}.{name}"
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.names[name] = self._dotted(value) or value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self.names[name] = self._dotted(value) or value
            case _ if isinstance(node, TYPE_ALIAS):
                self.names[node.name.id] = node.value

    def _bind_imports_from(self, origin: str, imports: list[ast.alias]) -> None:
        for imported in imports:
            if imported.name == "*":
                module = _module(origin, self._readers)
                self.names |= {name: f"{origin}.{name}" for name in (module.names if module else ()) if name[0] != "_"}
            else:
                self.names[imported.asname or imported.name] = f"{origin}.{imported.name}"

    def _origin(self, node: ast.ImportFrom) -> str:
        """Return the full name of the module that `from … import` names."""
        package = self._package.split(".")
        parents = package[: len(package) - node.level + 1] if node.level else []
        return ".".join([*parents, *([node.module] if node.module else [])])


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements that run when a module is imported, those under `if`, `try` and `with` too."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            yield from _statements(child)


def _kinds_of_name(dotted: str, seen: frozenset[str]) -> tuple[Kind, ...]:
    """Return the kinds that a dotted name allows, from whatever module its own has it."""
    if dotted in PLAIN:
        return (PLAIN[dotted],)
    where, _, name = dotted.rpartition(".")
    if not where or dotted in seen:
        return (ANY,)
    module = _module(where)
    if module is not None:
        if where == BOUNDS_MODULE and name not in module.names:
            raise AnnotationError(f"{BOUNDS_MODULE} has no '{name}'{did_you_mean(name, module.names)}")
        return module.kinds(ast.Name(name), seen | {dotted})
    package, _, attribute = where.rpartition(".")
    parent = _module(package)
    target = parent.names.get(attribute) if parent else None  # a module, by the name that a package gives it
    return _kinds_of_name(f"{target}.{name}", seen | {dotted}) if isinstance(target, str) else (ANY,)


def _module(name: str, readers: frozenset[str] = frozenset()) -> SourceModule | None:
    """Read a module; None if it has no source, and for the standard library, where nothing has bounds."""
    path = None if name.partition(".")[0] in sys.stdlib_module_names or name in readers else source_of(name)
    try:
        return None if path is None else SourceModule(name, path, readers)
    except (OSError, SyntaxError, ValueError):
        return None


def source_of(module: str) -> Path | None:
    """Return the file of a module without importing the packages that it lies in; None if there is none."""
    top, *names = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # an empty name, or a module that was not imported from a file
        return None
    for name in names:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{name}", spec.submodule_search_locations)
    origin = None if spec is None else spec.origin
    return Path(origin) if origin is not None and origin.endswith(".py") else None
