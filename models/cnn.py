"""Convolutions of several widths, each filter of which looks for one phrase anywhere: Kim, 2014, arXiv:1408.5882."""

from keras import Input, Model, ops
from keras.layers import Conv1D, Dense, Dropout, Embedding, GlobalMaxPooling1D, LayerNormalization, SpatialDropout1D

from models.hyperparameters import Fraction, Size
from models.padding import only_words, word_mask


def build(
    *,
    num_words: int,
    maxlen: int,
    num_classes: int,
    embedding_dim: Size,
    filters: Size,
    kernel_size: Size,
    widths: Size,
    spatial_dropout: Fraction,
    dropout: Fraction,
) -> Model:
    """Return a model from word ids (batch, maxlen) to class probabilities (batch, num_classes).

    It has `filters` of each of the sizes kernel_size, kernel_size + 1, … of which there are `widths`.
    """
    words = Input((maxlen,), dtype="int32")  # (batch, maxlen)
    mask = word_mask(words)
    x = Embedding(num_words, embedding_dim)(words)  # (batch, maxlen, embedding_dim)
    x = only_words(SpatialDropout1D(spatial_dropout)(x), mask)
    phrases = [  # each (batch, filters); zero where no phrase around a word is like the filter's
        GlobalMaxPooling1D()(only_words(Conv1D(filters, size, padding="same", activation="relu")(x), mask))
        for size in range(kernel_size, kernel_size + widths)
    ]
    # Normalised, as the maxima of three widths differ in size and grow with the text's length.
    x = Dropout(dropout)(LayerNormalization()(ops.concatenate(phrases, axis=1)))  # (batch, widths * filters)
    return Model(words, Dense(num_classes, activation="softmax")(x))  # (batch, num_classes)
