"""Blocks of a transformer's encoder, in which every word looks at every other: Vaswani et al., 2017, arXiv:1706.03762.

The layers are normalised before each block, which trains without a warm-up: Xiong et al., 2020, arXiv:2002.04745.
"""

from keras import Input, KerasTensor, Model, ops
from keras.layers import Dense, Dropout, Embedding, LayerNormalization, MultiHeadAttention

from models.hyperparameters import Fraction, Pooling, Size
from models.padding import pooled, word_mask


def build(
    *,
    num_words: int,
    maxlen: int,
    num_classes: int,
    embedding_dim: Size,
    blocks: Size,
    heads: Size,
    feed_forward: Size,
    dropout: Fraction,
    pooling: Pooling,
) -> Model:
    """Return a model from word ids (batch, maxlen) to class probabilities (batch, num_classes).

    Each head has embedding_dim // heads features, and at least one.
    """
    words = Input((maxlen,), dtype="int32")  # (batch, maxlen)
    mask = word_mask(words)
    places = ops.cumsum(ops.cast(mask, "int32"), axis=1)  # of the words: 1, 2, …; padding has 0
    x = Embedding(num_words, embedding_dim)(words) + Embedding(maxlen + 1, embedding_dim)(places)
    x = Dropout(dropout)(x)  # (batch, maxlen, embedding_dim)
    for _ in range(blocks):
        x = _block(x, mask, heads, feed_forward, dropout)
    x = Dropout(dropout)(pooled(LayerNormalization()(x), mask, pooling))  # (batch, embedding_dim)
    return Model(words, Dense(num_classes, activation="softmax")(x))  # (batch, num_classes)


def _block(x: KerasTensor, mask: KerasTensor, heads: int, feed_forward: int, dropout: float) -> KerasTensor:
    dim = x.shape[-1]
    normal = LayerNormalization()(x)
    seen = MultiHeadAttention(heads, max(1, dim // heads))(normal, normal, attention_mask=mask[:, None, :])
    x = x + Dropout(dropout)(seen)
    hidden = Dense(feed_forward, activation="relu")(LayerNormalization()(x))
    return x + Dropout(dropout)(Dense(dim)(hidden))
