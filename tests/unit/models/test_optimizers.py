import keras
import numpy as np
import pytest

from models import optimizers

BUILDERS = [optimizers.adam, optimizers.rmsprop, lambda **options: optimizers.sgd(momentum=0.9, **options)]


def rate(optimizer: keras.optimizers.Optimizer, step: int) -> float:
    optimizer.iterations.assign(step)
    return float(optimizer.learning_rate)


@pytest.mark.parametrize("build", BUILDERS)
def test_a_scheduled_rate_rises_to_its_value_and_falls_to_zero_or_stays(build) -> None:  # type: ignore[no-untyped-def]
    cosine = build(total_steps=100, learning_rate=0.2, schedule="cosine", warmup=0.1)
    cosine.build([keras.Variable([0.0])])
    assert [rate(cosine, step) for step in (0, 5, 10, 55, 100)] == pytest.approx([0, 0.1, 0.2, 0.1, 0], abs=1e-6)
    cosine = build(total_steps=100, learning_rate=0.2, schedule="cosine")
    cosine.build([keras.Variable([0.0])])
    assert [rate(cosine, step) for step in (0, 50, 100)] == pytest.approx([0.2, 0.1, 0], abs=1e-6)
    constant = build(total_steps=100, learning_rate=0.2, warmup=0.1)
    constant.build([keras.Variable([0.0])])
    assert [rate(constant, step) for step in (0, 5, 10, 99)] == pytest.approx([0, 0.1, 0.2, 0.2], abs=1e-6)


@pytest.mark.parametrize("build", BUILDERS)
def test_without_options_it_is_kerass_own(build) -> None:  # type: ignore[no-untyped-def]
    config = build(total_steps=100, learning_rate=0.2).get_config()
    names = ("weight_decay", "clipnorm", "global_clipnorm", "clipvalue")
    assert [config[name] for name in names] == [None] * 4
    assert config["learning_rate"] == pytest.approx(0.2)


def test_weights_decay_but_biases_do_not() -> None:
    optimizer = optimizers.sgd(learning_rate=0.1, momentum=0.0, weight_decay=0.5)
    weights = [keras.Variable([1.0], name=name) for name in ("kernel", "bias", "gamma", "beta", "embeddings")]
    optimizer.build(weights)
    optimizer.apply([keras.ops.zeros(1)] * 5)
    assert [float(weight[0]) for weight in weights] == pytest.approx([0.95, 1, 1, 1, 0.95])


def test_the_gradient_of_all_weights_is_clipped_that_of_an_embedding_with_repeated_words_included() -> None:
    import tensorflow as tf

    table, kernel = keras.Variable(np.ones((5, 2))), keras.Variable(np.ones((2, 2)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.gather(table.value, [1, 1, 3])) * 3 + tf.reduce_sum(kernel.value)
    gradients = tape.gradient(loss, [table.value, kernel.value])
    optimizer = optimizers.sgd(learning_rate=1.0, momentum=0.0, global_clipnorm=0.5)
    optimizer.build([table, kernel])
    optimizer.apply(gradients)
    moved = np.concatenate([(1 - weight.numpy()).ravel() for weight in (table, kernel)])
    assert np.linalg.norm(moved) == pytest.approx(0.5)
    assert moved[2] == pytest.approx(6 * moved[-1])
