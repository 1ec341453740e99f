"""A convolution that sees phrases and a recurrent network that reads them in order: the article's network for IMDB."""

from keras import Input, Model
from keras.layers import LSTM, Conv1D, Dense, Dropout, Embedding, MaxPooling1D, SpatialDropout1D

from models.hyperparameters import Fraction, Padding, Pooling, Size
from models.padding import aligned, only_words, pooled, windows_with_words, word_mask


def build(
    *,
    num_words: int,
    maxlen: int,
    num_classes: int,
    embedding_dim: Size,
    conv_filters: Size,
    kernel_size: Size,
    pool_size: Size,
    lstm_units: Size,
    dropout: Fraction,
    spatial_dropout: Fraction = 0.0,
    padding: Padding = "read",
    pooling: Pooling = "last",
) -> Model:
    """Return a model from word ids (batch, maxlen) to class probabilities (batch, num_classes).

    Keras raises `ValueError` if maxlen - kernel_size + 1 < pool_size, as the LSTM would have nothing to read.
    """
    words = Input((maxlen,), dtype="int32")  # (batch, maxlen)
    document, mask = words, word_mask(words)
    if padding == "masked":
        document, mask = aligned(words, mask)
    x = Embedding(num_words, embedding_dim)(document)  # (batch, maxlen, embedding_dim)
    x = Dropout(dropout)(x)
    if spatial_dropout:  # a layer without effect would draw a seed, and the next one other weights than the article's
        x = SpatialDropout1D(spatial_dropout)(x)
    if padding == "masked":
        x = only_words(x, mask)
    x = Conv1D(conv_filters, kernel_size, activation="relu")(x)  # (batch, maxlen - kernel_size + 1, conv_filters)
    x = MaxPooling1D(pool_size)(x)  # (batch, (maxlen - kernel_size + 1) // pool_size, conv_filters)
    if (padding, pooling) == ("read", "last"):
        x = LSTM(lstm_units)(x)  # (batch, lstm_units)
    else:
        mask = windows_with_words(mask, kernel_size, pool_size)
        x = pooled(LSTM(lstm_units, return_sequences=True)(x), mask, pooling)  # (batch, lstm_units)
    return Model(words, Dense(num_classes, activation="softmax")(x))  # (batch, num_classes)
