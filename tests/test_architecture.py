"""The rules of the house that can be read off the imports."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSES = ("conf", "models", "pipelines", "sweeps", "text_sweeps")
MODULES = sorted(path for house in HOUSES for path in (ROOT / house).rglob("*.py") if path.read_text().strip())

# Modules without an own subject: everybody in sweeps and pipelines may use them.
SHARED = {
    "conf.schema",
    "conf.secrets",
    "conf.stored",
    "sweeps.audit",
    "sweeps.errors",
    "sweeps.files",
    "sweeps.invocation",
    "sweeps.metrics",
    "sweeps.runtime",
    "sweeps.software",
}
# Place -> the places of ours that it may import besides itself and SHARED; the longest matching place counts.
MAY_IMPORT = {
    "conf": {"conf"},
    "models": {"models"},
    "sweeps.audit": set(),
    "sweeps.errors": set(),
    "sweeps.files": set(),
    "sweeps.invocation": set(),
    "sweeps.metrics": set(),
    "sweeps.runtime": set(),
    "sweeps.software": set(),
    "sweeps.text_encoder": set(),
    "sweeps.terminal.standard_streams": set(),
    "sweeps.terminal.console": set(),
    "sweeps.terminal.waiting": {"sweeps.terminal.console"},
    "sweeps.terminal.reading": {"sweeps.terminal.console", "sweeps.terminal.waiting"},
    "sweeps.journal": set(),
    "sweeps.search": {"models.hyperparameters"},
    "sweeps.trials": {"models"},
    "sweeps.analysis": {
        *("sweeps.journal", "sweeps.search.space", "sweeps.search.builders", "sweeps.trials.predictions"),
        "sweeps.trials.spec",
    },
    "sweeps.live": {"sweeps.analysis", "sweeps.journal", "sweeps.report.page_file", "sweeps.search.space"},
    "sweeps.report": {"sweeps.analysis", "sweeps.journal", "sweeps.search.space"},
    "sweeps.tracking": {"sweeps.journal", "sweeps.text_encoder", "sweeps.trials"},
    "sweeps.environment": {"sweeps.journal", "sweeps.trials.gpus"},
    "sweeps.plan": {"sweeps.search.space", "sweeps.trials.spec"},
    "sweeps.references": {"sweeps.plan", "sweeps.journal", "sweeps.trials"},
    "sweeps.frames": {"sweeps.journal"},
    "sweeps.finalists": {"sweeps.plan", "sweeps.journal", "sweeps.search.ask_tell"},
    "sweeps.estimate": {"sweeps.plan", "sweeps.search", "sweeps.trials"},
    "sweeps.reproduction": {"sweeps.plan", "sweeps.journal", "sweeps.trials"},
    "sweeps.driver": {
        *("sweeps.plan", "sweeps.environment", "sweeps.journal", "sweeps.search.ask_tell", "sweeps.trials"),
        "sweeps.references",
    },
    "sweeps.terminal": {
        *("sweeps.analysis", "sweeps.journal", "sweeps.plan", "sweeps.estimate", "sweeps.search.space"),
    },
    "sweeps.session": {"sweeps"},
    "pipelines.data": {"sweeps.trials.spec", "sweeps.text_encoder"},
    "pipelines.data.__main__": {"pipelines.command", "pipelines.data", "sweeps", "conf"},
    "pipelines": {"pipelines.command", "pipelines.data", "sweeps", "conf"},
    "text_sweeps": {"sweeps", "conf"},
    "text_sweeps.child": {"text_sweeps", "pipelines", "sweeps", "conf"},
}
NETWORKS = {f"sweeps.trials.{name}" for name in ("building", "training", "evaluation")}
# Library -> the only places that import it.
ONLY_IN = {
    "keras_tuner": {"sweeps.search"},
    "dask": {"sweeps.trials.dask_engine"},
    "distributed": {"sweeps.trials.dask_engine"},
    "keras": {
        *("models", *NETWORKS, "sweeps.tracking.served_model", "sweeps.tracking.registration"),
        "text_sweeps",
    },
    "tensorflow": {"models", *NETWORKS},
    "mlflow": {"sweeps.tracking"},
    "matplotlib": {"sweeps.report.figures"},
    "jinja2": {"sweeps.report.html"},
    "rich": {"sweeps.terminal", "sweeps.session", "pipelines"},
    "hydra": {"conf"},
    "sklearn": {"sweeps.search.bayesian", "sweeps.analysis", "sweeps.trials.references"},
    "scipy": {
        *("sweeps.search.bayesian", "sweeps.analysis", "pipelines.data.splits"),
        *("sweeps.trials.calibration", "sweeps.trials.references", "sweeps.trials.word_counts"),
    },
    "pyarrow": {"pipelines.data"},
    "pandas": {"sweeps.frames", "sweeps.tracking.served_model", "pipelines.export", "text_sweeps"},
    "tokenizers": {"sweeps.text_encoder", "pipelines.data.vocabulary"},
}
SLOW = {"keras", "keras_tuner", "tensorflow", "mlflow", "dask", "distributed", "matplotlib", "sklearn"}
# Modules that are imported before the configuration is known to be good.
PROMPT = [
    *(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "pipelines").rglob("*.py")
        if path.stem != "__init__"
    ),
    *("text_sweeps", "text_sweeps.results", "text_sweeps.running", "text_sweeps.child", "text_sweeps.frame_data"),
    *("conf.compose", "sweeps.session.session", "sweeps.session.checks", "sweeps.search.space"),
    *("sweeps.terminal.progress", "sweeps.terminal.sentences", "sweeps.terminal.tables"),
]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(path): path for path in MODULES}


def imports(tree: ast.AST) -> set[str]:
    """The dotted names that a module imports, wherever in it; `from a import b` is `a.b`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def ours(module: str) -> set[str]:
    """The names of this project that a module imports."""
    return {name for name in imports(ast.parse(FILES[module].read_text())) if name.partition(".")[0] in HOUSES}


@pytest.mark.parametrize("module", FILES)
def test_imports_point_one_way(module: str) -> None:
    place = max((place for place in MAY_IMPORT if within(module, {place})), key=len)
    allowed = MAY_IMPORT[place] | (
        SHARED if place.partition(".")[0] in ("sweeps", "pipelines", "text_sweeps") else set()
    )
    assert {name for name in ours(module) if not within(name, allowed | {place} - {"pipelines"})} == set()


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {
        module: {max((m for m in FILES if within(name, {m})), key=len, default="") for name in ours(module)} - {""}
        for module in FILES
    }
    face = graph.pop("sweeps.journal")  # a package's face hands on the names of its modules
    assert face == {"sweeps.journal.events", "sweeps.journal.file", "sweeps.journal.record"}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from error


@pytest.mark.parametrize("module", FILES)
def test_a_library_has_one_place(module: str) -> None:
    libraries = {name.partition(".")[0] for name in imports(ast.parse(FILES[module].read_text()))}
    assert {name for name in libraries & ONLY_IN.keys() if not within(module, ONLY_IN[name])} == set()


@pytest.mark.parametrize(
    ("module", "lower"),
    [
        ("conf.secrets", set()),
        ("conf.schema", {"conf.secrets"}),  # whose errors show no password
        ("sweeps.errors", {"conf.secrets"}),
        ("sweeps.files", set()),
        ("sweeps.metrics", set()),
        ("sweeps.runtime", set()),
        ("sweeps.software", set()),
    ],
)
def test_the_lowest_modules_import_nothing_of_ours(module: str, lower: set[str]) -> None:
    assert ours(module) == lower


@pytest.mark.parametrize("module", sorted(set(PROMPT)))
def test_nothing_slow_is_imported_before_the_configuration_is_known_to_be_good(module: str) -> None:
    at_import = [node for node in ast.parse(FILES[module].read_text()).body if not isinstance(node, ast.If)]
    names = {name for node in at_import if isinstance(node, ast.Import | ast.ImportFrom) for name in imports(node)}
    assert {name for name in names if name.partition(".")[0] in SLOW} == set()


def work(tree: ast.Module) -> Iterator[str]:
    """The statements with which a module does something when it is imported, besides defining names."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) not in ("TYPE_CHECKING", "__name__ == '__main__'"):
            yield ast.unparse(node)
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Expr | ast.For | ast.While | ast.With | ast.Try | ast.AugAssign) and not is_text:
            yield ast.unparse(node)
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Attribute | ast.Subscript) for t in node.targets):
            yield ast.unparse(node)


@pytest.mark.parametrize("module", FILES)
def test_no_module_works_at_import(module: str) -> None:
    allowed = {
        "sweeps.tracking.served_model": ["set_model(Classifier())"],  # MLflow's protocol
        "text_sweeps": ["for _package in "],  # the same, as an error
        "pipelines": ["if sys.path and "],  # before anything is imported that a folder of the user's could hide
    }
    found = list(work(ast.parse(FILES[module].read_text())))
    assert len(found) == len(allowed.get(module, []))
    assert all(map(str.startswith, found, allowed.get(module, [])))


def test_a_value_becomes_a_part_of_a_search_of_mlflow_in_one_place() -> None:
    written = re.compile(r"(tags|attributes|params|metrics|datasets)\.[^\n]*= ?['\"]\{")
    places = {path.name for path in (ROOT / "sweeps").rglob("*.py") if written.search(path.read_text(encoding="utf-8"))}
    assert places <= {"filters.py"}
