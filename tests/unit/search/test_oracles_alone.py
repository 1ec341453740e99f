import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from conf.schema import Job
from sweeps.search import oracles_alone
from tests.conftest import ROOT
from tests.searches import TUNERS, proposals_of

ARGUMENTS = ("trials=12", "epochs=9", "seed=5")
CODE = f"""
import json, sys
from sweeps.search import oracles_alone
tuner, oracle, *arguments = sys.argv[1:]
oracles_alone.load(oracle)
from tests.conftest import composed_job
from tests.searches import proposals_of
proposals = proposals_of(composed_job("tuner=" + tuner, *arguments, *{ARGUMENTS}).config, failing=[4])
loaded = sorted({{"keras", "tensorflow", "sklearn", "scipy"}} & sys.modules.keys())
import keras_tuner
print(json.dumps([loaded, oracles_alone.REPLACED[0] in sys.modules, proposals]))
"""


def alone(tuner: str, oracle: str, *arguments: str) -> tuple[list[str], bool, list[object]]:
    """Return the modules that are loaded in a process which has the oracles alone, and what these propose."""
    command = [sys.executable, "-c", CODE, tuner, oracle, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    loaded, has_keras, proposals = json.loads(ended.stdout)
    return loaded, has_keras, proposals


@pytest.mark.parametrize("tuner", TUNERS)
def test_an_oracle_alone_loads_no_tensorflow_and_proposes_the_same_to_the_last_bit(
    tuner: str, composed: Callable[..., Job]
) -> None:
    config = composed(f"tuner={tuner}", *ARGUMENTS).config
    loaded, has_keras, proposals = alone(tuner, config.tuner["oracle"])
    assert loaded == (["scipy", "sklearn"] if tuner in ("bayesian", "mobster") else [])
    assert not has_keras
    assert proposals == json.loads(json.dumps(proposals_of(config, failing=[4])))


def test_hyperparameters_of_several_networks_are_copied_with_their_conditions(composed: Callable[..., Job]) -> None:
    config = composed("tuner=grid", "model=[lstm,conv_lstm]", *ARGUMENTS).config
    *_, proposals = alone("grid", config.tuner["oracle"], "model=[lstm,conv_lstm]")
    assert proposals == json.loads(json.dumps(proposals_of(config, failing=[4])))


SEVERAL = f"""
import json, sys
from sweeps.search import oracles_alone
from tests.conftest import composed_job

def proposals(tuner):
    config = composed_job("tuner=" + tuner, *{ARGUMENTS}).config
    oracles_alone.load(config.tuner["oracle"])
    from sweeps.search.oracle import Oracle
    from sweeps.search.space import read
    search = Oracle(config, read(config.parts("imdb")))
    asked = []
    while len(asked) < 6 and (proposal := search.ask()) is not None:
        asked.append(proposal)
        search.tell(proposal.trial, float(len(asked) % 3))
    return asked

alone, again, then = map(proposals, ("bayesian", "random", "bayesian"))
oracles_alone.load("mine.oracle")
print(alone == then, again != then, "keras_tuner" in sys.modules)
"""


@pytest.mark.parametrize("first", ["random", "bayesian"])
def test_a_command_with_several_tuners_has_for_each_what_it_needs(first: str) -> None:
    code = SEVERAL if first == "bayesian" else SEVERAL.replace("alone, again", 'proposals("random"); alone, again', 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "True True False\n"


def test_where_keras_is_loaded_and_for_an_oracle_of_the_users_nothing_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = dict(sys.modules)
    oracles_alone.load("sweeps.search.random_search.oracle")
    assert sys.modules == before
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delitem(sys.modules, "keras_tuner")
    oracles_alone.load("mine.oracle")
    assert "keras_tuner" not in sys.modules
