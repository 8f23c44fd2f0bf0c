"""Models that are refused, and errors that say where in a model they arose."""

import jax
import jax.numpy as jnp
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from tests.support.graphs import FEATURES, sequences

KEY = jax.random.key(0)


def test_an_output_that_does_not_follow_from_the_inputs_is_refused_with_the_way_to_it():
    x, y = jm.Input((None, FEATURES), name="x"), jm.Input((None, FEATURES), name="y")
    h = L.Dense(2)(L.Add(name="sum")([x, y]))
    with pytest.raises(ValueError, match=r"need Node\(y: .*which is not among its inputs.* dense <- sum <- y\. Add it"):
        jm.Model(x, h)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x: jm.Model(x, [jnp.ones(3)]), TypeError, r"`outputs` of a model are nodes"),
        (lambda x: jm.Model(L.Dense(3), x), TypeError, r"`inputs` of a model are nodes"),
        (lambda x: jm.Model(x, []), ValueError, r"A model needs an output; `outputs` is \[\]"),
        (lambda x: jm.trace(lambda a: None, x), ValueError, r"A model needs an output; `outputs` is None"),
        (lambda x: jm.Model([x, x], x * 2), ValueError, r"appears twice among the inputs"),
        (lambda x: jm.Sequential([]), ValueError, r"`Sequential` needs at least one layer"),
        (lambda x: jm.Sequential([x]), ValueError, r"`Sequential` needs at least one layer"),
        (lambda x: jm.Sequential([L.Dense(2), x]), TypeError, r"`layers` of a `Sequential` are layers"),
        (lambda x: jm.Sequential([L.Dense(2)]).init(KEY), ValueError, r"The shapes of this `Sequential` are not known"),
        (lambda x: jm.Sequential([L.Dense(2)]).summary(), ValueError, r"pass an example, `init\(key, x\)`"),
        (lambda x: jm.trace(lambda a: a, [1, 2]), TypeError, r"An example of an input is an array or a `Masked`"),
    ],
)
def test_what_is_no_model_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(jm.Input((None, FEATURES)))


def test_an_error_in_a_layer_names_the_layer_and_the_nodes_at_the_users_line():
    x = jm.Input((None, FEATURES), name="words")
    with pytest.raises(ValueError, match=r"received.*\(batch,\)") as caught:
        L.LSTM(3, name="encoder")(L.GlobalAveragePooling1D()(L.Dense(4)(x))[:, 0])
    notes = "\n".join(caught.value.__notes__)
    assert "In layer `encoder`." in notes
    assert "While calling LSTM(" in notes
    assert "on Node(getitem: float32 (batch,))." in notes


def test_an_error_at_run_time_names_the_path_of_the_layer():
    @jm.register_serializable
    class Picky(jm.Layer):
        supports_masking = True

        def call(self, params, inputs):
            if inputs.shape[0] == 1:
                raise RuntimeError("one row")
            return inputs

    x, inside = jm.Input((None, FEATURES)), jm.Input((None, FEATURES))
    inner = jm.Model(inside, Picky(name="picky")(inside), name="inner")
    model = jm.Model(x, inner(x), name="outer")
    with pytest.raises(RuntimeError, match="one row") as caught:
        model.apply({}, sequences().fill(0)[:1])
    assert "In layer `outer/inner/picky`." in caught.value.__notes__
