"""The optimizers, as functions of plain numbers whose keywords can be searched like those of a model.

`total_steps` is the number of training steps of a trial that has all the epochs of its search.
"""

import tensorflow as tf
from keras.optimizers import SGD, Adam, Optimizer, RMSprop
from keras.optimizers.schedules import CosineDecay

from models.hyperparameters import Fraction, NotNegative, Rate, Schedule


def adam(
    *,
    total_steps: int = 0,
    learning_rate: Rate,
    weight_decay: NotNegative = 0.0,
    global_clipnorm: NotNegative = 0.0,
    schedule: Schedule = "constant",
    warmup: Fraction = 0.0,
) -> Optimizer:
    rate = _scheduled(learning_rate, schedule, warmup, total_steps)
    return _finished(Adam(rate, weight_decay=weight_decay or None, global_clipnorm=global_clipnorm or None))


def rmsprop(
    *,
    total_steps: int = 0,
    learning_rate: Rate,
    weight_decay: NotNegative = 0.0,
    global_clipnorm: NotNegative = 0.0,
    schedule: Schedule = "constant",
    warmup: Fraction = 0.0,
) -> Optimizer:
    rate = _scheduled(learning_rate, schedule, warmup, total_steps)
    return _finished(RMSprop(rate, weight_decay=weight_decay or None, global_clipnorm=global_clipnorm or None))


def sgd(
    *,
    total_steps: int = 0,
    learning_rate: Rate,
    momentum: Fraction,
    weight_decay: NotNegative = 0.0,
    global_clipnorm: NotNegative = 0.0,
    schedule: Schedule = "constant",
    warmup: Fraction = 0.0,
) -> Optimizer:
    rate = _scheduled(learning_rate, schedule, warmup, total_steps)
    return _finished(SGD(rate, momentum, weight_decay=weight_decay or None, global_clipnorm=global_clipnorm or None))


def _scheduled(learning_rate: float, schedule: str, warmup: float, total_steps: int) -> float | CosineDecay:
    """Return a rate that rises from 0 for a share `warmup` of the steps, then stays or falls to 0 along a cosine."""
    if schedule == "constant" and not warmup:
        return learning_rate
    end = 1.0 if schedule == "constant" else 0.0  # a share of the rate
    rising = round(warmup * total_steps)
    if not rising:
        return CosineDecay(learning_rate, total_steps, end)
    return CosineDecay(0.0, total_steps - rising, end, warmup_target=learning_rate, warmup_steps=rising)


def _finished(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer, whose decay leaves out biases and normalisation, and whose clipping measures true sums."""
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if optimizer.global_clipnorm:
        apply = optimizer.apply
        # Keras 3.15 measures an embedding's gradient word by word, before those of a repeated word are added.
        optimizer.apply = lambda gradients, *rest: apply([tf.convert_to_tensor(each) for each in gradients], *rest)
    return optimizer
