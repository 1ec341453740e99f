import io

import pytest

from sweeps.terminal import reading
from sweeps.terminal.console import Console
from sweeps.terminal.reading import Reading


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that passes: its last number."""
    now = [100.0]
    monkeypatch.setattr(reading.time, "monotonic", lambda: now[-1])
    return now


def shown(clock: list[float], calls: list[tuple[float, str, int, int | None]], *, terminal: bool) -> str:
    """Everything that is printed for calls at these seconds."""
    file = io.StringIO()
    with Reading(Console(file=file, width=100, terminal=terminal), "re\x1bviews") as on_progress:
        for seconds, *progress in calls:
            clock.append(100 + seconds)
            on_progress(*progress)
        on_progress._bar.refresh()
    return file.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_what_takes_less_than_two_seconds_shows_nothing(terminal: bool, clock: list[float]) -> None:
    assert shown(clock, [(0.1, "reading", 1, 9), (1.9, "encoding", 8, 9)], terminal=terminal) == ""


def test_a_line_comes_now_and_then_where_no_bar_can_be_drawn(clock: list[float]) -> None:
    calls = [
        (0, "reading", 0, None),
        (3, "reading", 1000, None),
        (4, "encoding", 0, 4000),
        (14, "encoding", 1000, 4000),
    ]
    calls += [(34, "encoding", 2500, 4000), (64, "encoding", 5000, 4000), (65, "encoding", 5001, 4000)]
    assert shown(clock, calls, terminal=False).splitlines() == [
        "re\\u001bviews: reading, 1,000 rows",
        "re\\u001bviews: encoding, 2,500 rows of about 4,000, some 18 s left",
        "re\\u001bviews: encoding, 5,000 rows",
    ]


def test_a_terminal_has_a_bar_that_goes_away(clock: list[float]) -> None:
    calls = [(0, "reading", 0, None), (3, "reading", 1000, 4000)]
    bar = shown(clock, calls, terminal=True)
    assert "re\\u001bviews: reading, 1,000 rows" in bar
    assert "25%" in bar
    assert bar.endswith("\x1b[2K")  # the line is erased
