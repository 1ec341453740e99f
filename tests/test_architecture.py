"""The house rules that a look at the imports can tell."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for room in ("conf", "models", "pipelines", "sweeps") for path in (ROOT / room).rglob("*.py"))
MAY_IMPORT = {
    "conf": {"conf"},
    "models": {"models", "conf.schema"},
    "sweeps": {"sweeps", "models", "conf.schema"},
    "pipelines": {"pipelines", "sweeps", "models", "conf"},
}
ONLY_IN = {
    "dask": ["sweeps/engine.py"],
    "distributed": ["sweeps/engine.py"],
    "mlflow": [f"sweeps/{name}.py" for name in ("tracking", "runs", "registry", "served", "recorded", "registered")],
    "matplotlib": ["sweeps/figures/"],
    "jinja2": ["sweeps/page.py"],
}
SLOW = {"keras", "keras_tuner", "tensorflow", "mlflow", "dask", "distributed", "matplotlib", "sklearn"}


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(name: str, allowed: set[str]) -> bool:
    return any(name == a or name.startswith(f"{a}.") for a in allowed)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    ours = {name for name in imported(ast.parse(path.read_text())) if name.partition(".")[0] in MAY_IMPORT}
    assert {name for name in ours if not within(name, MAY_IMPORT[path.relative_to(ROOT).parts[0]])} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_place_imports_a_library(path: Path) -> None:
    here = str(path.relative_to(ROOT))
    found = {name.partition(".")[0] for name in imported(ast.parse(path.read_text()))}
    assert {library for library in found & ONLY_IN.keys() if not here.startswith(tuple(ONLY_IN[library]))} == set()


def test_the_schema_imports_nothing_of_ours() -> None:
    tree = ast.parse((ROOT / "conf" / "schema.py").read_text())
    assert {name for name in imported(tree) if name.partition(".")[0] in MAY_IMPORT} == set()


PROMPT = [
    f"pipelines/{name}.py"
    for name in ("sweep", "sync", "data", "project", "ui", "report", "confirm", "predict", "words")
]


@pytest.mark.parametrize("name", [*PROMPT, "sweeps/space.py", "sweeps/view.py", "conf/compose.py"])
def test_nothing_slow_is_imported_before_the_configuration_is_known_to_be_good(name: str) -> None:
    at_import = [node for node in ast.parse((ROOT / name).read_text()).body if not isinstance(node, ast.If)]
    top = {n for node in at_import if isinstance(node, ast.Import | ast.ImportFrom) for n in imported(node)}
    assert {n for n in top if n.partition(".")[0] in SLOW} == set()
