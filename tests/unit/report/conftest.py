import pytest

from sweeps.report import figures


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections keep their introductions and draw nothing: a dozen figures take two seconds."""
    sections = tuple(section._replace(figures=()) for section in figures.SWEEP_SECTIONS)
    monkeypatch.setattr(figures, "SWEEP_SECTIONS", sections)
