"""The parts of a registered model beside its network: the encoder of its texts, and the names of its labels."""

from __future__ import annotations

import json

from conf.schema import ENCODING, Data
from pipelines.data import cache, table_dataset, word_index
from pipelines.data.splits import TEST
from sweeps.text_encoder import OFFSET, UNKNOWN
from sweeps.trials.spec import Dataset, Serving


def of(name: str, settings: Data) -> Serving:
    """Return what serves models of a dataset; raises `ConfigError` if its texts or its word index are not there."""
    return _of_table(name, settings) if settings.files else _of_documents(name, settings)


def _of_table(name: str, settings: Data) -> Serving:
    def texts(data: Dataset) -> list[str]:
        table, division = table_dataset.read(name, settings)
        return [text for batch in table_dataset.texts_of(table, division, TEST) for text in batch]

    source = table_dataset.source(name, settings)
    entry = cache.entry(source.key, source.write)
    labels = entry.description["audit"]["labels"]
    return Serving(table_dataset.encoder_settings(settings), entry.vocabulary(), labels, texts)


def _of_documents(name: str, settings: Data) -> Serving:
    content = word_index.find(name, settings.text)
    words = {rank + OFFSET: word for word, rank in json.loads(content).items()}

    def texts(data: Dataset) -> list[str]:
        known = {**words, UNKNOWN: words.get(data.num_words, "")}  # the most frequent of the rare words
        return [" ".join(known.get(id_, "") for id_ in document) for document in data.test.x.tolist()]

    encoder = dict(zip(ENCODING, settings.encoding, strict=True))
    labels = settings.text.labels or [str(label) for label in range(settings.num_classes or 0)]
    return Serving({**encoder, "unlisted": "skip"}, content, labels, texts)
