from dataclasses import replace
from pathlib import Path

from sweeps.report import run_note
from tests import confirmations, records


def test_the_note_has_the_best_trial_the_baseline_the_counts_and_the_searched_hyperparameters() -> None:
    record = records.record(trials=6, accuracy=lambda values, rng: 0.5 + float(values["lstm_units"]) / 1000,
                            failing=lambda trial: trial == 4)  # fmt: skip
    best, baseline = record.best, record.baseline
    assert best is not None
    assert baseline is not None
    heading, empty, first, second, third, last = run_note.note(record).splitlines()
    assert heading == "**lstm** on **imdb**, random search for the best val/accuracy"
    assert empty == ""
    scores = f"val/accuracy {best.objective:.4f}, test/accuracy {best.test['test/accuracy']:.4f}"
    assert first.startswith(f"* best: trial {best.trial}, {scores} (embedding_dim=")
    assert second.startswith(f"* baseline: trial 0, val/accuracy {baseline.objective:.4f}, test/accuracy ")
    assert "(" not in second
    assert third == "* 5 trials completed, 1 failed"
    assert last == "* searched: embedding_dim, lstm_units, dropout, learning_rate"


def test_the_note_names_the_linear_model() -> None:
    record = records.record(trials=2)
    record.add(records.reference("svm", 0.77))
    assert "* linear model: TF-IDF with a linear SVM, C=0.3, test/accuracy 0.7700" in run_note.note(record).splitlines()


def test_a_running_sweep_has_no_result_yet_and_stand_in_data_are_named() -> None:
    note = run_note.note(records.record(trials=2, end=False, source="standin"))
    assert "stand-in" in note
    assert "best:" not in note
    assert "completed" not in note


def test_a_note_claims_no_search_where_nothing_was_searched_and_no_validation_where_there_is_none() -> None:
    fixed = records.configuration({}).partition("optimizer:")[0]
    config = f"{fixed}optimizer:\n  name: adam\n  build: models.optimizers.adam\n  space: {{learning_rate: 0.01}}\n"
    heading = run_note.note(records.record(trials=1, held_out="test", config=config)).splitlines()[0]
    assert heading == "**lstm** on **imdb**, one configuration without a search; val/ metrics are the test set's"


def test_a_confirmation_names_its_sweep_and_counts_its_trials(tmp_path: Path) -> None:
    note = run_note.note(confirmations.record(tmp_path, {}, seeds=2))
    assert f"the best configurations of {confirmations.SWEEP} trained again" in note
    assert "* 6 trials completed, 0 failed" in note


def test_names_and_values_are_no_markup() -> None:
    record = records.record(trials=2, failing=lambda trial: trial == 1)
    hostile = "[x](javascript:alert(1)) <img src=x> **b** `c` a_b _i_ | ~s~ #h\n* item"
    record.started = replace(record.started, model=hostile)
    heading = run_note.note(record).splitlines()[0]
    escaped = r"\[x\](javascript:alert(1)) \<img src=x\> \*\*b\*\* \`c\` a_b \_i\_ \| \~s\~ \#h \* item"
    assert heading.startswith(f"**{escaped}** on **imdb**")
