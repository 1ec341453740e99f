"""The optimizers, as functions of plain numbers whose keywords can be searched like those of a model."""

from keras.optimizers import SGD, Adam, Optimizer, RMSprop

from models.hyperparameters import Fraction, Rate


def adam(*, learning_rate: Rate) -> Optimizer:
    return Adam(learning_rate)


def rmsprop(*, learning_rate: Rate) -> Optimizer:
    return RMSprop(learning_rate)


def sgd(*, learning_rate: Rate, momentum: Fraction) -> Optimizer:
    return SGD(learning_rate, momentum=momentum)
