"""Values from outside in the conditions of MLflow's searches."""

import pytest
from mlflow.utils.search_utils import SearchUtils

from conf.schema import ConfigError
from sweeps.tracking import comparison_page, filters
from sweeps.tracking.comparison_page import Comparison

NAMES = (
    "o'neil/imdb",
    'the "best"/imdb',
    "a\\/imdb\\",
    "x' or tags.kind = 'trial",
    "100%_/im`db",
    "실험/imdb",
    "a\nb",
    "",
)


@pytest.mark.parametrize("name", NAMES)
def test_mlflow_reads_the_very_value_back(name: str) -> None:
    condition = f"{filters.equals('tags.sweep', name)} and tags.kind = 'sweep'"
    sweep, kind = SearchUtils.parse_search_filter(condition)
    assert (sweep["value"], kind["value"]) == (name, "sweep")


@pytest.mark.parametrize("name", ['o\'neil "jr"', 'the "best"\\'])
def test_a_value_that_fits_between_no_quotes_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="it may have ' or \", but not both"):
        filters.equals("tags.sweep", name)


def test_a_comparison_is_of_the_sweep_that_it_names() -> None:
    kind, sweep = SearchUtils.parse_search_filter(Comparison("o'neil/imdb", "val/loss").condition)
    assert (kind["value"], sweep["value"]) == ("trial", "o'neil/imdb")
    assert comparison_page.of_experiment(Comparison("a/b", "val/loss", digest="x'y"), 0, {})
