import pytest

from sweeps.analysis import importance
from sweeps.report import figures


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections keep their introductions and draw nothing, and forests are small: together they take two seconds."""
    monkeypatch.setattr(importance, "RESAMPLES", 2)
    sections = tuple(section._replace(figures=()) for section in figures.SWEEP_SECTIONS)
    monkeypatch.setattr(figures, "SWEEP_SECTIONS", sections)
