"""A dataset is one function that returns a `Corpus`; everything else is shared."""

import csv
import itertools
import re
from collections import Counter

import numpy as np
import pytest
import yaml

from conf.schema import ConfigError, Data
from pipelines.data.dataset import load
from tests.conftest import ROOT
from tests.corpora import arrays_of, assert_same

pytestmark = pytest.mark.usefixtures("home")
NAMES = (f"reader_{number}" for number in itertools.count())


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that can be imported, and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text):
        name = next(NAMES)
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


# The example of docs/data.md


def example(language):
    [block] = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "data.md").read_text(), flags=re.DOTALL)
    return block


WORDS = {"a": "late again and again", "b": 'thanks, "great"\nservice', "c": "price too high"}
ROWS = [(f"{WORDS[label]} number{number}", label) for number, label in enumerate("abc" * 10)]


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def expected_ids(text, ranks, maxlen):
    ids = [1, *(ranks[word] + 3 for word in text.split() if word in ranks)][-maxlen:]
    return [0] * (maxlen - len(ids)) + ids


def test_a_csv_file_is_a_dataset_with_the_function_in_the_documentation(tmp_path, module):
    settings = Data(**yaml.safe_load(example("yaml")) | {"maxlen": 8, "validation": 0.25})
    settings.archive = str(tmp_path / "tickets.csv")
    settings.read = f"{module(example('python'))}.read"
    write_csv(tmp_path / "tickets.csv", ROWS)
    first = load(name="tickets", settings=settings)

    train, test = [row for i, row in enumerate(ROWS) if i % 5], ROWS[::5]
    words = Counter(word for text, _ in train for word in text.split())
    ranks = {word: rank for rank, (word, _) in enumerate(words.most_common(), start=1)}
    assert first.test.x.tolist() == [expected_ids(text, ranks, 8) for text, _ in test]
    assert first.test.y.tolist() == ["abc".index(label) for _, label in test]
    assert [len(split.x) for split in first[:3]] == [18, 6, 6]
    assert np.bincount(first.validation.y).tolist() == [2, 2, 2]
    assert (first.num_words, first.maxlen, first.num_classes, first.source) == (5000, 8, 3, "archive")

    second = load(name="tickets", settings=settings)
    assert_same(second, first)
    assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in arrays_of(second))

    write_csv(tmp_path / "tickets.csv", [("late late late", "a"), *ROWS[1:]])
    changed = load(name="tickets", settings=settings)
    assert changed.digest != first.digest
    assert changed.test.x[0].tolist() == [0, 0, 0, 0, 1, *[ranks["late"] + 3] * 3]


# What a function may return


HEADER = """
from pathlib import Path
from pipelines.data.corpus import Corpus, Documents
X, Y = [[1], [2]] * 5, [0, 1] * 5

def read(*, name):
    return Corpus("fingerprint", "archive", documents)

def documents():
    Path("parsed").write_text("")
    return Documents(X, Y, X, Y)
"""
WRONG = {
    "no corpus": ("def read(): return ['a text']", "it returned list; must be a pipelines.data.corpus.Corpus"),
    "no fingerprint": ("def read(): return Corpus(None, 'archive', documents)", "fingerprint=None"),
    "an unknown source": ("def read(): return Corpus('', 'csv', documents)", "source='csv'; must be .* archive, stand"),
    "no documents": ("def documents(): return None", "its documents are NoneType; must be .*Documents"),
    "a plain tuple": ("def documents(): return (X, Y, X, Y)", "its documents are tuple; must be .*Documents"),
    "too few labels": ("Y = [0, 1]", "x_train holds 10 documents and y_train 2 labels"),
    "a split without documents": (
        "def documents(): return Documents(X, Y, [], Y[:0])",
        "y_test must be a row of whole",
    ),
    "a split that is empty": (
        "import numpy\ndef documents(): return Documents(X, Y, [], numpy.array([], int))",
        "x_test holds 0 documents and y_test 0 labels",
    ),
    "a class too many": ("Y = [0, 2] * 5", "y_train holds label 2; num_classes=2 allows 0 to 1"),
    "a negative label": ("Y = [0, -1] * 5", "y_train holds label -1; num_classes=2 allows 0 to 1"),
    "labels that are names": ("Y = ['a', 'b'] * 5", "y_train must be a row of whole numbers"),
    "labels in columns": ("Y = [[0, 1]] * 10", r"y_train must be a row of whole numbers, is int64 of shape \(10, 2\)"),
    "a negative rank": ("X = [[1], [3, -1]] * 5", "must hold word ranks: whole numbers, none negative"),
    "a rank beyond 64 bits": ("X = [[1], [2**63]] * 5", "must hold word ranks"),
    "fractions as ranks": ("X = [[1], [1.5]] * 5", "must hold word ranks"),
    "texts": ("X = ['a text', 'another'] * 5", "must hold word ranks"),
    "numbers as documents": ("X = [1, 2] * 5", "is not iterable"),
}


@pytest.mark.parametrize(("code", "reason"), WRONG.values(), ids=WRONG)
def test_a_function_that_returns_something_else_is_refused_in_one_line(module, code, reason):
    read = f"{module(HEADER + code)}.read"
    with pytest.raises(ConfigError, match=rf"^datasets\.mine\.read={read}: .*{reason}") as caught:
        load(name="mine", settings=Data(read=read, num_words=30, maxlen=10, num_classes=2))
    assert "\n" not in str(caught.value)


def test_a_function_is_given_the_keywords_that_it_names(module):
    names = "name, source, archive, url, sha256, num_words, maxlen, num_classes"
    read = f"{module(HEADER + f'def read(*, {names}): return Corpus([{names}], None, documents)')}.read"
    values = ["mine", "auto", "a", "u", "s", 30, 10, 2]
    with pytest.raises(ConfigError, match=re.escape(f"fingerprint={values}, source=None")):
        load(name="mine", settings=Data(read=read, **dict(zip(names.split(", ")[1:], values[1:], strict=True))))


@pytest.mark.parametrize("key", ["archive", "url", "sha256"])
def test_a_setting_that_the_function_does_not_take_is_refused(module, key):
    settings = Data(read=f"{module(HEADER)}.read", num_words=30, maxlen=10, num_classes=2)
    setattr(settings, key, "x")
    with pytest.raises(ConfigError, match=rf"^datasets\.mine\.{key}=x: {settings.read} does not take it$"):
        load(name="mine", settings=settings)


def test_another_source_than_the_configured_one_is_refused(module):
    settings = Data(read=f"{module(HEADER)}.read", source="standin", num_words=30, maxlen=10, num_classes=2)
    with pytest.raises(ConfigError, match=r"it found source=archive, but source=standin is configured$"):
        load(name="mine", settings=settings)


def test_documents_are_parsed_again_only_when_the_functions_module_changes(tmp_path, module):
    name = module(HEADER)
    settings = Data(read=f"{name}.read", num_words=30, maxlen=10, num_classes=2)
    for change, parsed_again in [("", True), ("", False), ("# another comment", True), ("# another comment", False)]:
        (tmp_path / f"{name}.py").write_text(HEADER + change)
        (tmp_path / "parsed").unlink(missing_ok=True)
        load(name="mine", settings=settings)
        assert (tmp_path / "parsed").exists() == parsed_again
