"""A tuner of one's own is one module and one YAML: the code of the project stays as it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from conf.schema import Config, ConfigError, Job
from sweeps.search.builders import check_tuner
from tests.fakes import FakeEngine
from tests.searches import SMALL_SPACE, oracle, session

MODULE = '''
import itertools

from models.hyperparameters import Size
from sweeps.search.keras_tuner_base import BaseOracle, Settings


class CornersOracle(BaseOracle):
    """Every corner of the space, then random points."""

    def __init__(self, settings: Settings, most: int) -> None:
        super().__init__(settings, max_trials=settings.trials)
        ends = [(list(hp.values)[0], list(hp.values)[-1]) for hp in self.hyperparameters.space]
        self._corners = list(itertools.product(*ends))[:most]

    @property
    def description(self):
        return f"{len(self._corners)} of {self.max_trials} trials are corners"

    def populate_space(self, trial_id):
        corner = len(self.start_order) - 1  # after the baseline
        if not 0 <= corner < len(self._corners):
            values = self._random_values()
        else:
            values = dict(zip([hp.name for hp in self.hyperparameters.space], self._corners[corner]))
        return {"status": "RUNNING", "values": values} if values else {"status": "STOPPED"}


def oracle(settings: Settings, *, most: Size | None = None) -> CornersOracle:
    return CornersOracle(settings, most or 2 ** len(settings.hyperparameters.space))
'''
YAML = """
# The corners of the space first.
name: corners
oracle: corners.oracle
most: 3
"""
SPACE = (*SMALL_SPACE, "model.space.dropout={kind: Choice, values: [0.1, 0.2, 0.3], default: 0.2}", "epochs=2")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, composed: Callable[..., Job]) -> Callable[..., Job]:
    """Composes a job with the new tuner, as Hydra does with a YAML that is found in `conf/tuner/`."""
    (tmp_path / "corners.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    tuner = OmegaConf.to_container(OmegaConf.create(YAML))
    assert isinstance(tuner, dict)

    def compose(*arguments: str, **options: object) -> Job:
        composed_job = composed(*SPACE, *arguments)
        config: Config = replace(composed_job.config, tuner={str(k): v for k, v in tuner.items()} | options)
        check_tuner(config.tuner)
        return Job(config, composed_job.yaml)

    return compose


def test_a_sweep_runs_and_goes_on_with_it_until_its_space_is_exhausted(job: Callable[..., Job]) -> None:
    first = session(job("trials=3"), FakeEngine(workers=2)).record
    assert first.started.tuner == "corners"
    second = session(job("trials=20")).record
    whole = session(job("trials=20"), directory=Path("outputs/whole/imdb")).record
    assert [trial.values for trial in second.trials.values()] == [trial.values for trial in whole.trials.values()]
    assert [trial.values for trial in first.trials.values()] == [second.trials[n].values for n in first.trials]
    assert (second.ended.status, len(second.completed)) == ("completed", 9)
    tried = [(trial.values["dropout"], trial.values["lstm_units"]) for trial in second.trials.values()]
    assert tried[:4] == [(0.2, 16), (0.1, 8), (0.3, 8), (0.1, 32)]
    assert len(set(tried)) == 9


def test_its_description_and_its_options_are_its_own(job: Callable[..., Job]) -> None:
    assert oracle(job("trials=6").config).description == "3 of 6 trials are corners"
    assert oracle(job("trials=6", most=None).config).description == "4 of 6 trials are corners"
    with pytest.raises(ConfigError, match=r"^tuner\.most=0: must be an integer of at least 1$"):
        job(most=0)
    with pytest.raises(ConfigError, match=r"^tuner\.factor=3: tuner=corners takes most$"):
        job(factor=3)
