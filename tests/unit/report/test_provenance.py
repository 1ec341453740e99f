from pathlib import Path

from sweeps.journal import Environment, SweepRecord, SweepResumed
from sweeps.report import provenance
from tests import records


def rows(record: SweepRecord) -> dict[str, str]:
    return dict(provenance.rows(record))


def test_the_code_is_a_commit_and_a_digest_of_its_files() -> None:
    code = Environment(git_commit="c0ffee", git_dirty=True, code={"models/lstm.py": "1"})
    digest = code.code_digest
    assert (
        rows(records.record(trials=1, environment=code))["code"] == f"c0ffee with uncommitted changes, files {digest}"
    )
    without = Environment(code={"models/lstm.py": "1"})
    assert rows(records.record(trials=1, environment=without))["code"] == f"no commit known, files {digest}"
    assert rows(records.record(trials=1, environment=Environment()))["code"] == "no commit known"


def test_what_differed_after_the_sweep_was_resumed_is_told() -> None:
    events = records.events(trials=2, end=False, environment=Environment({"keras": "3"}, machine={"cores": "2"}))
    later = SweepResumed("", 3, Environment({"keras": "3"}, machine={"cores": "8"}), time=events[-1].time + 9)
    shown = rows(SweepRecord.of(Path("x"), [*events, later]))
    assert shown["cores"] == "2; after it was resumed: 8"
    assert shown["versions"] == "keras 3"


def test_the_machine_of_a_sweep_on_a_cluster_is_the_drivers_and_no_gpu_is_claimed() -> None:
    environment = Environment(machine={"cores": "2", "gpus": "NVIDIA A100"})
    on_cluster = records.record(
        trials=1, environment=environment, config=records.configuration() + "engine: {name: cluster}"
    )
    assert rows(on_cluster)["cores"] == "2 (of the driver; the trials ran on a cluster)"
    assert "gpus" not in rows(on_cluster)
    assert rows(records.record(trials=1, environment=environment))["gpus"] == "NVIDIA A100"


def test_an_article_run_has_no_validation_set() -> None:
    assert "validation" not in rows(records.record(trials=1, held_out="test"))["examples"]


def test_a_table_is_no_archive() -> None:
    table = records.configuration() + "datasets: {imdb: {files: [/x/reviews.csv]}}"
    sources = [
        rows(records.record(trials=1, **options))["data"].split(", ")[1]
        for options in ({}, {"config": table}, {"source": "standin"})
    ]
    assert sources == ["archive", "table", "generated stand-in"]
