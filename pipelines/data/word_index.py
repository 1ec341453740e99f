"""A dataset's word index: the JSON file that maps each word to its rank. Nothing in it is executed."""

from __future__ import annotations

import json

from conf.schema import ConfigError, Text
from pipelines.data import keras_cache
from pipelines.data.keras_cache import File, Source


def find(name: str, text: Text) -> bytes:
    """Return the JSON of the word index: `text.words`, else the file in Keras's cache, else a download.

    Raises `ConfigError` where there is none of them, or it is another file than the configured one.
    """
    section = f"datasets.{name}.text"

    def check(file: File) -> None:
        if not _is_word_index(file.content):
            raise ConfigError(
                f"{section}.words={file.path}: not a word index, a JSON object that maps words to ranks from 1 on"
            )

    try:
        return keras_cache.find(Source(section, "words", text.words, text.url, text.sha256), check).content
    except keras_cache.UnavailableError as error:
        raise ConfigError(f"{section}.words=null: {error}") from error


def _is_word_index(content: bytes) -> bool:
    try:
        ranks = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(ranks, dict) and all(type(rank) is int and rank > 0 for rank in ranks.values())
