"""The encoded arrays of a dataset, wherever its documents come from.

Documents are encoded once: the arrays stay in the user's cache, and every worker maps them from there for every trial.
"""

from __future__ import annotations

from conf.schema import Data
from pipelines.data import cache, documents, table_dataset
from pipelines.data.corpus import OnProgress, silent
from sweeps import audit
from sweeps.trials.spec import Dataset, Split


def load(*, name: str, settings: Data, digest: str | None = None, on_progress: OnProgress = silent) -> Dataset:
    """Return the dataset `name`, divided and encoded.

    From the second load on, the arrays are read-only maps of files in `$XDG_CACHE_HOME/text-sweeps`; with a `digest`
    that is there nothing else is read. `on_progress` is called while a table is read, learned from and encoded. Raises
    `ConfigError` for everything that the user can correct.
    """
    entry = cache.with_digest(digest) if digest is not None else None
    if entry is None:
        is_table = bool(settings.files)
        source = table_dataset.source(name, settings, on_progress) if is_table else documents.source(name, settings)
        entry = cache.entry(source.key, source.write)
    facts = audit.of(entry.description["audit"])
    train, validation, test = (Split(*entry.arrays[i : i + 2]) for i in (0, 2, 4))
    sizes = facts.num_words, facts.maxlen, len(facts.labels)
    return Dataset(train, validation, test, *sizes, entry.digest, entry.description["source"], facts)
