"""The words of a document without their order, and its pairs of neighbours: Joulin et al., 2016, arXiv:1607.01759."""

from keras import Input, KerasTensor, Model, ops
from keras.layers import Dense, Dropout, Embedding, LayerNormalization

from models.hyperparameters import Count, Fraction, Size
from models.padding import pooled, word_mask


def build(
    *,
    num_words: int,
    maxlen: int,
    num_classes: int,
    embedding_dim: Size,
    pairs: Count,
    word_dropout: Fraction,
    dropout: Fraction,
) -> Model:
    """Return a model from word ids (batch, maxlen) to class probabilities (batch, num_classes).

    `pairs` is the number of vectors that all pairs of neighbours share; with 0 it reads no pairs. In training whole
    words are dropped, and then features. Normalised sums learn at the rates of the other networks: the mean of a
    hundred small vectors is so small that it would take ten times as large ones.
    """
    words = Input((maxlen,), dtype="int32")  # (batch, maxlen)
    kept = Dropout(word_dropout)(ops.ones_like(words, "float32")) > 0
    sets = [(ops.where(kept, words, 0), num_words)]
    if pairs and maxlen > 1:
        sets.append((_pairs(sets[0][0], pairs), pairs + 1))
    parts = []
    for ids, size in sets:
        x = Embedding(size, embedding_dim)(ids)  # (batch, maxlen or maxlen - 1, embedding_dim)
        mask = word_mask(ids)
        parts += [LayerNormalization()(pooled(x, mask, pooling)) for pooling in ("mean", "maximum")]
    x = Dropout(dropout)(ops.concatenate(parts, axis=1))  # (batch, 2 or 4 * embedding_dim)
    return Model(words, Dense(num_classes, activation="softmax")(x))  # (batch, num_classes)


def _pairs(words: KerasTensor, pairs: int) -> KerasTensor:
    """Return an id from 1 to `pairs` for each two neighbours, and 0 where one of them is padding."""
    left, right = words[:, :-1], words[:, 1:]
    return ops.where((left != 0) & (right != 0), (left * 10007 + right) % pairs + 1, 0)
