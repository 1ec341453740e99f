"""Keras Tuner's oracles without Keras, for the process that proposes trials and trains none.

Keras Tuner imports all of Keras, and so TensorFlow, for its tuners, which this project does not use: 5 s of processor
time and 500 MB. Its oracles only ask Keras for its version and to copy hyperparameters.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

from sweeps import runtime

# The modules of Keras, and Keras Tuner's own that pass on their names.
REPLACED = ("keras", *(f"keras_tuner.src.backend.{name}" for name in ("keras", "ops", "random")))
# Packages that Keras Tuner takes if they are there, and that these oracles do without. Others are the user's own, which
# may use whatever Keras Tuner has.
UNUSED = {
    **{f"sweeps.search.{name}.oracle": ("IPython", "scipy", "sklearn") for name in ("grid_search", "random_search")},
    "sweeps.search.hyperband.oracle": ("IPython", "scipy", "sklearn"),
    **{f"sweeps.search.{name}.oracle": ("IPython",) for name in ("bayesian", "mobster")},
}

# The modules that have classes or names of Keras Tuner's.
DERIVED = (
    "sweeps.estimate",
    *(f"sweeps.search.{name}" for name in ("bayesian", "grid_search", "hyperband", "mobster", "random_search")),
    *(f"sweeps.search.{name}" for name in ("keras_tuner_base", "oracle")),
)


def load(oracle: str) -> None:
    """Import Keras Tuner for an oracle, given by its dotted name: without Keras for this project's own.

    Where Keras is loaded already, it is with it. Whoever imports Keras later gets the real one. A command may search
    with several tuners: what was loaded for one and is too little for the next is imported anew.
    """
    if not _suffices(oracle):
        for name in [name for name in sys.modules if name.partition(".")[0] == "keras_tuner" or name in DERIVED]:
            del sys.modules[name]
    if oracle not in UNUSED or not sys.modules.keys().isdisjoint(("keras", "keras_tuner")):
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        with runtime.without(*UNUSED[oracle]):
            import_module("keras_tuner")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] == "keras"]:
            del sys.modules[name]


def _suffices(oracle: str) -> bool:
    """Whether Keras Tuner, where it is loaded, is enough for an oracle."""
    if not isinstance(sys.modules.get("keras_tuner.src.backend.keras"), _StandIn):
        return True
    has_sklearn = sys.modules["keras_tuner.src.tuners.bayesian"].sklearn is not None
    return oracle in UNUSED and (has_sklearn or "sklearn" in UNUSED[oracle])


def _serialized(instance: Any) -> dict[str, Any]:
    return {"class_name": type(instance).__name__, "config": instance.get_config()}


def _deserialized(config: Mapping[str, Any], custom_objects: object, module_objects: Mapping[str, Any]) -> Any:
    return module_objects[config["class_name"]].from_config(config["config"])


class _StandIn(ModuleType):
    """A module with every name that is asked for: those that oracles use, and classes for tuners to derive from."""

    __all__: Sequence[str] = ()
    config = SimpleNamespace(backend=lambda: "numpy")
    version = staticmethod(lambda: "3.")  # for an earlier one Keras Tuner would import TensorFlow
    utils = SimpleNamespace(
        legacy=SimpleNamespace(serialize_keras_object=_serialized, deserialize_keras_object=_deserialized)
    )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything


class _AnythingOf(type):
    def __getattr__(cls, name: str) -> Any:
        return cls


class _Anything(metaclass=_AnythingOf):
    """Stands for any class, function or decorator of Keras."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        pass

    def __call__(self, decorated: Any) -> Any:
        return decorated


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        replaced = name in REPLACED or name.startswith("keras.")
        return ModuleSpec(name, self, is_package=True) if replaced else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing."""
