"""Documents without their padding: where their words are, and one vector of the states at them.

Padding (id 0) stands before a document's words, where cuDNN's recurrent networks take no mask and TensorFlow's fused
LSTM takes none at all. Everything here is made of Keras's own operations: a saved network loads without this project.
"""

from keras import KerasTensor, ops
from keras.layers import MaxPooling1D


def word_mask(words: KerasTensor) -> KerasTensor:
    """Return where the words of (batch, maxlen) ids are; the last place counts as one, so that no document is empty."""
    return ops.concatenate([words[:, :-1] != 0, ops.ones_like(words[:, -1:], "bool")], axis=1)


def aligned(words: KerasTensor, mask: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """Return ids and mask, both (batch, maxlen), of the same documents with the padding behind their words."""
    maxlen = words.shape[1]
    places = ops.cumsum(ops.ones_like(words), axis=1) - 1  # 0, 1, 2, …
    first = ops.cast(ops.argmax(mask, axis=1, keepdims=True), "int32")
    return ops.take_along_axis(words, (places + first) % maxlen, axis=1), places < maxlen - first


def only_words(x: KerasTensor, mask: KerasTensor) -> KerasTensor:
    """Return the features (batch, time, features) with zeros in place of the padding's."""
    return x * ops.cast(mask, x.dtype)[:, :, None]


def windows_with_words(mask: KerasTensor, kernel_size: int, pool_size: int) -> KerasTensor:
    """Return which of the windows that a convolution and a pooling behind it make of (batch, maxlen) have words.

    Where the only words are in the last places, which fill no window, all windows count.
    """
    words = ops.cast(mask, "float32")[:, :, None]
    seen = MaxPooling1D(pool_size)(MaxPooling1D(kernel_size, strides=1)(words))[:, :, 0]  # 1 or 0
    return seen >= ops.max(seen, axis=1, keepdims=True)


def pooled(states: KerasTensor, mask: KerasTensor, pooling: str) -> KerasTensor:
    """Return one vector, (batch, features), of the states (batch, time, features) where the mask (batch, time) is true.

    It is the last of them, their maximum or their mean.
    """
    if pooling == "maximum":
        return ops.max(ops.where(mask[:, :, None], states, -1e9), axis=1)
    weights = ops.cast(mask, states.dtype)
    if pooling == "last":
        following = ops.concatenate([weights[:, 1:], ops.zeros_like(weights[:, :1])], axis=1)
        weights = weights * (1 - following)
    else:
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
    return ops.squeeze(ops.matmul(weights[:, None, :], states), axis=1)
