"""A recurrent network that reads every word in order: the article's network for Reuters."""

from keras import Input, Model
from keras.layers import LSTM, Dense, Dropout, Embedding, SpatialDropout1D

from models.hyperparameters import Fraction, Padding, Pooling, Size
from models.padding import aligned, pooled, word_mask


def build(
    *,
    num_words: int,
    maxlen: int,
    num_classes: int,
    embedding_dim: Size,
    lstm_units: Size,
    dropout: Fraction,
    spatial_dropout: Fraction = 0.0,
    padding: Padding = "read",
    pooling: Pooling = "last",
) -> Model:
    """Return a model from word ids (batch, maxlen) to class probabilities (batch, num_classes)."""
    words = Input((maxlen,), dtype="int32")  # (batch, maxlen)
    document, mask = words, word_mask(words)
    if padding == "masked":
        document, mask = aligned(words, mask)
    x = Embedding(num_words, embedding_dim)(document)  # (batch, maxlen, embedding_dim)
    x = Dropout(dropout)(x)
    if spatial_dropout:  # a layer without effect would draw a seed, and the next one other weights than the article's
        x = SpatialDropout1D(spatial_dropout)(x)
    if (padding, pooling) == ("read", "last"):
        x = LSTM(lstm_units)(x)  # (batch, lstm_units)
    else:
        x = pooled(LSTM(lstm_units, return_sequences=True)(x), mask, pooling)  # (batch, lstm_units)
    return Model(words, Dense(num_classes, activation="softmax")(x))  # (batch, num_classes)
