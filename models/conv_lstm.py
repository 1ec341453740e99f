"""A convolution that sees phrases and a recurrent network that reads them in order: the article's network for IMDB."""

from keras import Input, Model
from keras.layers import LSTM, Conv1D, Dense, Dropout, Embedding, MaxPooling1D

from models.hyperparameters import Fraction, Size


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
) -> Model:
    """Return a model from word ids (batch, maxlen) to class probabilities (batch, num_classes).

    Keras raises `ValueError` if maxlen - kernel_size + 1 < pool_size, as the LSTM would have nothing to read.
    """
    words = Input((maxlen,), dtype="int32")  # (batch, maxlen)
    x = Embedding(num_words, embedding_dim)(words)  # (batch, maxlen, embedding_dim)
    x = Dropout(dropout)(x)
    x = Conv1D(conv_filters, kernel_size, activation="relu")(x)  # (batch, maxlen - kernel_size + 1, conv_filters)
    x = MaxPooling1D(pool_size)(x)  # (batch, (maxlen - kernel_size + 1) // pool_size, conv_filters)
    x = LSTM(lstm_units)(x)  # (batch, lstm_units)
    return Model(words, Dense(num_classes, activation="softmax")(x))  # (batch, num_classes)
