"""Whole documents in one row of ids, and padded ones: the same words in the same order."""

import numpy as np
import pytest

from pipelines.data.whole import whole
from sweeps import text_encoder
from sweeps.text_encoder import Ranks
from sweeps.trials import documents
from sweeps.trials.documents import Documents
from sweeps.trials.spec import BEGINNING

TEXTS = [[4, 5, 6], [], [7], [8, 9, 10, 11, 12], [4, 4]]
WHOLE = whole(Ranks.of(TEXTS), 10)


def texts_of(found: Documents) -> list[list[int]]:
    """The words of each document, in their order."""
    return [block.ids[block.places == place].tolist() for block in found.blocks() for place in range(block.n)]


def test_the_encoder_begins_a_document_as_the_worker_expects_it() -> None:
    assert text_encoder.START == BEGINNING
    assert texts_of(documents.of(WHOLE)) == [[1, 7, 8, 9], [1], [1, 2], [1, 2, 2, 2, 2, 2], [1, 7, 7]]


def test_documents_that_fit_are_the_same_whole_and_padded() -> None:
    padded = text_encoder.encode(TEXTS, num_words=10, maxlen=6, keep="last")
    assert texts_of(documents.of(padded)) == texts_of(documents.of(WHOLE))
    assert documents.of(padded).words == documents.of(WHOLE).words == len(WHOLE)
    assert len(documents.of(padded)) == len(documents.of(WHOLE)) == len(TEXTS)


@pytest.mark.parametrize("at_once", [1, 3, 5, 7, 100])
def test_blocks_divide_no_document_and_are_small(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = texts_of(documents.of(WHOLE))
    monkeypatch.setattr(documents, "AT_ONCE", at_once)
    assert texts_of(documents.of(WHOLE)) == expected
    assert all(len(block.ids) <= at_once or block.n == 1 for block in documents.of(WHOLE).blocks())


@pytest.mark.parametrize("chosen", [[0, 3], [1], [2, 4], [0, 1, 2, 3, 4]])
def test_a_part_has_the_documents_that_were_chosen(chosen: list[int]) -> None:
    padded = text_encoder.encode(TEXTS, num_words=10, maxlen=6, keep="last")
    for found in (documents.of(WHOLE), documents.of(padded)):
        assert texts_of(found.part(np.array(chosen))) == [texts_of(found)[place] for place in chosen]


def test_documents_are_found_across_the_pieces_in_which_their_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "BLOCK", 3 * WHOLE.itemsize)
    assert len(documents.of(WHOLE)) == len(TEXTS)
