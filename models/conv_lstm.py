"""A convolution sees phrases, a recurrent network reads them in order; the article's network for IMDB."""

from keras import Input, Model
from keras.layers import LSTM, Conv1D, Dense, Dropout, Embedding, MaxPooling1D


def build(
    *,
    num_words: int,
    maxlen: int,
    num_classes: int,
    embedding_dim: int,
    conv_filters: int,
    kernel_size: int,
    pool_size: int,
    lstm_units: int,
    dropout: float,
) -> Model:
    """Word ids (batch, maxlen) -> class probabilities (batch, num_classes).

    Keras raises `ValueError` where maxlen - kernel_size + 1 < pool_size: nothing would be left for the LSTM.
    """
    words = Input((maxlen,), dtype="int32")  # (batch, maxlen)
    x = Embedding(num_words, embedding_dim)(words)  # (batch, maxlen, embedding_dim)
    x = Dropout(dropout)(x)
    x = Conv1D(conv_filters, kernel_size, activation="relu")(x)  # (batch, maxlen - kernel_size + 1, conv_filters)
    x = MaxPooling1D(pool_size)(x)  # (batch, (maxlen - kernel_size + 1) // pool_size, conv_filters)
    x = LSTM(lstm_units)(x)  # (batch, lstm_units)
    return Model(words, Dense(num_classes, activation="softmax")(x))  # (batch, num_classes)
