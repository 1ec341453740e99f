"""Two recurrent networks, of which one reads the words in order and the other from the last to the first."""

from keras import Input, Model, ops
from keras.layers import LSTM, Dense, Dropout, Embedding, LayerNormalization, SpatialDropout1D

from models.hyperparameters import Fraction, Pooling, Size
from models.padding import aligned, pooled, word_mask


def build(
    *,
    num_words: int,
    maxlen: int,
    num_classes: int,
    embedding_dim: Size,
    lstm_units: Size,
    spatial_dropout: Fraction,
    dropout: Fraction,
    pooling: Pooling,
) -> Model:
    """Return a model from word ids (batch, maxlen) to class probabilities (batch, num_classes).

    `lstm_units` is the number of each direction. Keras's `Bidirectional` would do the same, but neither TensorFlow's
    fused LSTM reads backwards nor cuDNN's with padding: turned round, a document is one with its padding behind it.
    """
    words = Input((maxlen,), dtype="int32")  # (batch, maxlen)
    document, mask = aligned(words, word_mask(words))  # (batch, maxlen) each
    embedding, dropped = Embedding(num_words, embedding_dim), SpatialDropout1D(spatial_dropout)
    directions = [
        pooled(LSTM(lstm_units, return_sequences=True)(dropped(embedding(ids))), mask, pooling)
        for ids in (document, ops.flip(words, axis=1))
    ]
    x = Dropout(dropout)(LayerNormalization()(ops.concatenate(directions, axis=1)))  # (batch, 2 * lstm_units)
    return Model(words, Dense(num_classes, activation="softmax")(x))  # (batch, num_classes)
