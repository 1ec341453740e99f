"""A recurrent network with gated units, which have three quarters of an LSTM's weights."""

from keras import Input, Model
from keras.layers import GRU, Dense, Dropout, Embedding, LayerNormalization, SpatialDropout1D

from models.hyperparameters import Fraction, Pooling, Size
from models.padding import aligned, pooled, word_mask


def build(
    *,
    num_words: int,
    maxlen: int,
    num_classes: int,
    embedding_dim: Size,
    gru_units: Size,
    spatial_dropout: Fraction,
    dropout: Fraction,
    pooling: Pooling,
) -> Model:
    """Return a model from word ids (batch, maxlen) to class probabilities (batch, num_classes)."""
    words = Input((maxlen,), dtype="int32")  # (batch, maxlen)
    document, mask = aligned(words, word_mask(words))  # (batch, maxlen) each
    x = Embedding(num_words, embedding_dim)(document)  # (batch, maxlen, embedding_dim)
    x = SpatialDropout1D(spatial_dropout)(x)
    x = GRU(gru_units, return_sequences=True)(x)  # (batch, maxlen, gru_units)
    x = Dropout(dropout)(LayerNormalization()(pooled(x, mask, pooling)))  # (batch, gru_units)
    return Model(words, Dense(num_classes, activation="softmax")(x))  # (batch, num_classes)
