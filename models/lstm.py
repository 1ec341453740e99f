"""A recurrent network that reads every word in order: the article's network for Reuters."""

from keras import Input, Model
from keras.layers import LSTM, Dense, Dropout, Embedding

from models.hyperparameters import Fraction, Size


def build(
    *, num_words: int, maxlen: int, num_classes: int, embedding_dim: Size, lstm_units: Size, dropout: Fraction
) -> Model:
    """Return a model from word ids (batch, maxlen) to class probabilities (batch, num_classes)."""
    words = Input((maxlen,), dtype="int32")  # (batch, maxlen)
    x = Embedding(num_words, embedding_dim)(words)  # (batch, maxlen, embedding_dim)
    x = Dropout(dropout)(x)
    x = LSTM(lstm_units)(x)  # (batch, lstm_units)
    return Model(words, Dense(num_classes, activation="softmax")(x))  # (batch, num_classes)
