"""What trains the models: functions of plain numbers, so that their keywords can be searched like a model's."""

from keras.optimizers import SGD, Adam, Optimizer, RMSprop


def adam(*, learning_rate: float) -> Optimizer:
    return Adam(learning_rate)


def rmsprop(*, learning_rate: float) -> Optimizer:
    return RMSprop(learning_rate)


def sgd(*, learning_rate: float, momentum: float) -> Optimizer:
    return SGD(learning_rate, momentum=momentum)
