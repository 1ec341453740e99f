"""Every page can be read with a keyboard, with a screen reader, and in a light and a dark scheme."""

import itertools
import re
from pathlib import Path

import pytest

from sweeps.analysis import importance
from sweeps.journal import RunLinks
from sweeps.report import confirmation_page, overview_page, sweep_page
from sweeps.report.figures import style
from sweeps.report.html import TEMPLATES
from tests import answered, confirmations, records
from tests.pages import Page

TOPICS = [f"topic {number}" for number in range(46)]
ENOUGH = 4.5  # WCAG 2.2, 1.4.3
TEXTS, GROUNDS = ("text", "soft", "link"), ("paper", "best", "baseline", "code", "warning")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    events = records.events(trials=14, failing=lambda trial: trial == 3, source="standin")
    sweep = answered.record(events, TOPICS, {trial: answered.drawn(46, trial) for trial in range(14)})
    sweep.links = RunLinks({0: "http://host/#/experiments/1/runs/a"}, "text-sweeps ui")
    sweep.add(records.reference())
    again = confirmations.record(tmp_path_factory.mktemp("again"), {3: 0.03}, shuffled=-0.2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(style, "png", lambda figure: b"png")
        patched.setattr(importance, "RESAMPLES", 2)
        overview = overview_page.render(overview_page.build([sweep, records.record(trials=2)]), {"a": "a"})
        sources = {
            "sweep": sweep_page.build(sweep).html,
            "several": sweep_page.build(records.several(6, accuracy=lambda values, rng: rng.random())).html,
            "confirmation": confirmation_page.build(again).html,
            "overview": overview,
        }
    return {name: Page(source) for name, source in sources.items()}


def test_a_page_has_a_language_a_title_and_a_way_to_skip_to_its_content(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert page.attributes("html") == [{"lang": "en"}], name
        assert len(page.attributes("title")) == 1, name
        (skip,) = [link for link in page.attributes("a") if link.get("class") == "skip"]
        (main,) = page.attributes("main")
        assert skip["href"] == f"#{main['id']}", name
        assert page.tags.index(("a", skip)) < page.tags.index(("h1", {})), name


def test_headings_are_in_order(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1, name
        assert levels.count(1) == 1, name
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), name


def test_the_text_of_an_image_states_its_result(pages: dict[str, Page]) -> None:
    assert len(pages["sweep"].attributes("img")) > 10
    for name, page in pages.items():
        for image in page.attributes("img"):
            assert re.search(r"\d", image["alt"] or ""), (name, image["alt"])


def test_the_cells_of_a_heading_have_a_scope_and_tables_a_caption(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert {heading.get("scope") for heading in page.attributes("th")} == {"row", "col"}, name
        assert len(page.attributes("caption")) == len(page.attributes("table")), name


def test_what_can_be_focused_has_a_name(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        regions = [each for each in page.attributes("div") if each.get("tabindex")]
        assert all(each.get("aria-label") and each.get("role") == "region" for each in regions), name
        downloads = [link for link in page.attributes("a") if link.get("download") not in (None, "per_class.csv")]
        assert all("as CSV" in (link["aria-label"] or "") for link in downloads), name
        assert len({link["aria-label"] for link in downloads}) == len(downloads), name
        assert not [tag for tag, _ in page.tags if tag in ("input", "select", "button")], name


def colours(scheme: str) -> dict[str, str]:
    """The colours of the style, by their names."""
    light, _, dark = (TEMPLATES / "style.html").read_text().partition("prefers-color-scheme: dark")
    found = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", light if scheme == "light" else dark))
    assert found.keys() >= {*TEXTS, *GROUNDS}
    return found


def luminance(colour: str) -> float:
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ground", GROUNDS)
def test_every_text_stands_out_from_its_ground(scheme: str, text: str, ground: str) -> None:
    named = colours(scheme)
    low, high = sorted((luminance(named[text]), luminance(named[ground])))
    assert (high + 0.05) / (low + 0.05) >= ENOUGH


def test_all_colours_of_a_page_have_names() -> None:
    rules = re.sub(r"--\w+: #\w+", "", (TEMPLATES / "style.html").read_text())
    assert not re.findall(r"#[0-9a-fA-F]{3,6}\b", rules)


def test_what_has_the_focus_can_be_seen() -> None:
    assert re.search(r":focus-visible { outline: 3px", Path(TEMPLATES / "style.html").read_text())
