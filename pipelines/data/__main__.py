"""Show the content of a dataset, and its consequences for a sweep, before anything is trained.

    python -m pipelines.data data=reviews.csv                           a table of texts and labels
    python -m pipelines.data data=[reuters,imdb] datasets.imdb.maxlen=400

It takes the keys of `python -m pipelines.sweep`. It prints how the texts are divided, what bounds the accuracy on them,
how much of them the networks would get to see, and the overrides that this suggests. Exit status: 0 if the data can be
used.
"""

from __future__ import annotations

import sys

from rich.table import Table

from pipelines.command import execute, show_help
from sweeps import invocation
from sweeps.analysis import data_findings
from sweeps.audit import Audit
from sweeps.terminal.console import Console
from sweeps.terminal.reading import Reading

SHOWN = 12  # labels of the table


def main() -> None:
    show_help(sys.argv[1:], __doc__)
    execute(show)


def show(console: Console) -> bool:
    """Print the audit of each dataset that the command line names, and return True."""
    from conf import tables
    from conf.compose import compose

    jobs = compose()
    tables.refuse_missing(sys.argv[1:])
    from pipelines.data import dataset

    for job in jobs:
        for name, settings in job.config.datasets.items():
            with Reading(console, name) as on_progress:
                data = dataset.load(name=name, settings=settings, on_progress=on_progress)
            assert data.audit is not None
            source = "" if data.source == "archive" else ", a generated STAND-IN"
            console.print(f"{name}{source}, digest {data.digest}", style="bold", soft_wrap=True)
            for sentence in data_findings.sentences(data.audit):
                console.print(f"  {sentence}", soft_wrap=True)
            console.print(_labels(data.audit))
            suggestions = [] if source else data_findings.suggestions(data.audit, name)  # generated texts say nothing
            for suggestion in suggestions:
                console.print(f"  {suggestion.override}: {suggestion.why}", soft_wrap=True)
    if not any(argument.startswith("data=") for argument in sys.argv[1:]):
        console.print(f"your own texts: {invocation.command('data')} data=reviews.csv", soft_wrap=True)
    return True


def _labels(audit: Audit) -> Table:
    """Make a table of the most frequent labels."""
    table = Table(box=None, header_style="bold")
    table.add_column("label")
    for part in audit.of_label:
        table.add_column("train and validation" if part == "train" else part, justify="right")
    sizes = sorted(zip(*audit.of_label.values(), audit.labels, strict=True), reverse=True)
    for *numbers, label in sizes[:SHOWN]:
        table.add_row(str(label), *(f"{number:,}" for number in numbers))
    if len(sizes) > SHOWN:
        rest = list(zip(*sizes[SHOWN:], strict=True))[:-1]
        table.add_row(f"{len(sizes) - SHOWN} more", *(f"{sum(numbers):,}" for numbers in rest))
    return table


if __name__ == "__main__":
    main()
