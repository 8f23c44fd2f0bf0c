"""Calls of layers: inputs by position and by name, what is filled in, explicit masks, and what is refused."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm


class Spy(jm.Layer):
    """Returns what it was called with."""

    raw_inputs = True  # so that anything may come back

    def call(self, params, *args, **kwargs):
        raise NotImplementedError


class OneInput(Spy):
    raw_inputs = False

    def call(self, params, inputs, mask=None, training=None, key=None):
        return Seen(inputs, mask, training, key)

    def compute_mask(self, inputs, mask):
        return None


@jax.tree_util.register_static
class Seen(tuple):
    """What a layer saw, as an output without leaves."""

    def __new__(cls, *items):
        return super().__new__(cls, items)


class TwoInputs(Spy):
    raw_inputs = False

    def call(self, params, query, context=None, query_mask=None, context_mask=None, *, mask=None, scale=1.0):
        return Seen(query, context, query_mask, context_mask, mask, scale)

    def compute_mask(self, query, mask):
        return None


class ManyInputs(Spy):
    raw_inputs = False

    def call(self, params, *inputs, mask=None):
        return Seen(inputs, mask)

    def compute_mask(self, *inputs, mask):
        return None


@pytest.fixture
def x(rng):
    values = rng.normal(size=(3, 5, 7)).astype("float32")
    values[0, 4:], values[1] = np.nan, np.nan
    return jm.from_lengths(jnp.asarray(values), [4, 0, 5])


@pytest.fixture
def y(x):
    return jm.from_lengths(jnp.ones((3, 2, 7)), [1, 0, 2])


@pytest.fixture
def other_mask():
    return jnp.asarray([[True, False, True, False, True]] * 3)


def test_values_arrive_with_zeros_at_padding(x):
    inputs, *_ = OneInput()(x)
    assert isinstance(inputs, jax.Array)
    np.testing.assert_array_equal(inputs, np.nan_to_num(x.values))


def test_mask_training_and_key_are_filled_where_they_are_asked_for(x):
    key = jax.random.key(3)
    _, mask, training, got = OneInput()(x, training=True, key=key)
    assert mask is x.mask
    assert training is True
    assert got is key
    _, mask, training, got = OneInput()(x.values)
    assert (mask, training, got) == (None, False, None)


def test_training_and_key_may_be_given_to_a_layer_that_does_not_ask(x):
    class Plain(jm.Layer):
        supports_masking = True

        def call(self, params, inputs):
            return inputs

    assert isinstance(Plain()(x, training=True, key=jax.random.key(0)), jm.Masked)


def test_training_is_static(x):
    model = jm.Sequential([jm.layers.Dropout(1.0)])
    key = jax.random.key(0)
    with pytest.raises(TypeError, match=r"^sequential: `training` must be known .* static_argnames='training'"):
        jax.jit(model.apply)({}, x, training=True, key=key)
    compiled = jax.jit(model.apply, static_argnames="training")
    assert not compiled({}, x, training=True, key=key).fill(0).any()
    assert compiled({}, x, key=key).fill(0).any()


def test_compute_mask_gets_what_it_asks_for(x, y, other_mask):
    seen = []

    class Asks(jm.Layer):
        def call(self, params, query, context=None, scale=2.0):
            return query

        def compute_mask(self, context, other, query_mask=None, context_mask=None, mask=None, training=None, key=None):
            seen.append((context, other, query_mask, context_mask, mask, training, key))

    key = jax.random.key(1)
    Asks()(x, y, training=True, key=key)
    context, other, query_mask, context_mask, mask, training, got = seen[0]
    np.testing.assert_array_equal(context, y.fill(0))  # by its name
    np.testing.assert_array_equal(other, x.fill(0))  # what is left over, in the order of `call`
    assert (query_mask is x.mask, context_mask is y.mask, mask is x.mask) == (True, True, True)
    assert (training, got is key) == (True, True)


def test_compute_mask_gets_the_defaults_of_call(x):
    class Asks(jm.Layer):
        def call(self, params, query, context=None, scale=2.0):
            return query

        def compute_mask(self, query, context, scale, mask):
            assert (context, scale) == (None, 2.0)
            return mask

    assert Asks()(x).mask is x.mask


def test_compute_mask_may_take_all_inputs_at_once(x):
    class Asks(jm.Layer):
        def call(self, params, query, context):
            return query

        def compute_mask(self, *inputs, mask):
            assert [v.shape for v in inputs] == [(3, 5, 7), (2,)]
            return mask

    assert Asks()(x, jnp.ones(2)).mask is x.mask


@pytest.mark.parametrize(
    "call",
    [
        lambda layer, x, y: layer(x, y, scale=3.0),
        lambda layer, x, y: layer(x, context=y, scale=3.0),
        lambda layer, x, y: layer(context=y, query=x, scale=3.0),
    ],
)
def test_inputs_by_position_and_by_name(call, x, y):
    query, context, query_mask, context_mask, mask, scale = call(TwoInputs(), x, y)
    assert (query.shape, context.shape, scale) == (x.shape, y.shape, 3.0)
    assert query_mask is x.mask
    assert context_mask is y.mask
    assert mask is x.mask


def test_an_optional_input_that_is_left_out_has_no_mask(x):
    _, context, query_mask, context_mask, _, scale = TwoInputs()(x)
    assert (context, context_mask, scale) == (None, None, 1.0)
    assert query_mask is x.mask


def test_mask_is_that_of_the_first_input_even_if_it_is_left_out(x):
    class Optional(jm.Layer):
        def call(self, params, query=None, context=None, mask=None):
            return Seen(mask)

        def compute_mask(self, query, context_mask):
            return None

    assert Optional()(context=x) == (None,)
    with pytest.raises(TypeError, match=r"^optional: there is a mask for `query`, but no `query`"):
        Optional()(context=x, mask=x.mask)


def test_any_number_of_inputs(x, y):
    inputs, mask = ManyInputs()(x, y, x.values)
    assert [v.shape for v in inputs] == [x.shape, y.shape, x.shape]
    assert isinstance(mask, tuple)
    assert mask[0] is x.mask
    assert mask[1] is y.mask
    assert mask[2] is None
    assert ManyInputs()()[0] == ()


def test_static_arguments_arrive_as_they_are(x):
    class Static(jm.Layer):
        def call(self, params, inputs, axis, mode, options=None):
            return Seen(inputs, axis, mode, options)

        def compute_mask(self, inputs, mask):
            return None

    function = jnp.square
    inputs, axis, mode, options = Static()(x, -1, "mean", options={"f": function, "n": None})
    assert (axis, mode, options) == (-1, "mean", {"f": function, "n": None})
    assert not jnp.isnan(inputs).any()


def test_nests_of_inputs_arrive_as_nests_and_so_do_their_masks(x, y):
    inputs, mask, *_ = OneInput()({"a": x, "b": [y, None, 3], "c": y.values})
    assert (inputs["b"][1], inputs["b"][2]) == (None, 3)
    assert not jnp.isnan(inputs["a"]).any()
    assert mask["a"] is x.mask
    assert mask["b"][0] is y.mask
    assert (mask["b"][1:], mask["c"]) == ([None, None], None)


def test_numpy_arrays_are_inputs_and_masks():
    mask = np.array([[True, False]])
    inputs, seen, *_ = OneInput()(np.array([[1.0, np.nan]]), mask=mask)
    np.testing.assert_array_equal(inputs, [[1, 0]])
    assert seen is mask


def test_an_explicit_mask_goes_before_the_attached_one(x, other_mask):
    inputs, mask, *_ = OneInput()(x.with_values(jnp.ones(x.shape)), mask=other_mask)
    assert mask is other_mask
    np.testing.assert_array_equal(inputs[..., 0], other_mask)


def test_none_means_the_attached_mask_and_no_mask_means_none(x):
    assert OneInput()(x, mask=None)[1] is x.mask
    inputs, mask, *_ = OneInput()(x, mask=jm.NO_MASK)
    assert mask is None
    np.testing.assert_array_equal(inputs, x.values)  # NaN and all
    assert repr(jm.NO_MASK) == "jm.NO_MASK"


def test_masks_by_name(x, y, other_mask):
    _, _, query_mask, context_mask, mask, _ = TwoInputs()(x, y, query_mask=other_mask, context_mask=jm.NO_MASK)
    assert query_mask is other_mask
    assert mask is other_mask
    assert context_mask is None
    _, _, query_mask, context_mask, *_ = TwoInputs()(x, y, mask=other_mask)
    assert query_mask is other_mask
    assert context_mask is y.mask


def test_masks_by_name_need_not_be_asked_for(x, y):
    class Uses(jm.Layer):
        def call(self, params, query, context):
            return context

        def compute_mask(self, query, context_mask=None):
            return context_mask

    assert Uses()(x.values, y.values, context_mask=y.mask).mask is y.mask


def test_an_input_may_be_called_mask_of_something_that_is_no_input(x):
    class Attends(jm.Layer):
        supports_masking = True

        def call(self, params, inputs, attention_mask):
            return inputs * attention_mask

    assert Attends()(x.values, attention_mask=2.0).shape == x.shape


class Pair(NamedTuple):
    first: object
    second: object


@pytest.mark.parametrize(
    "kind", [list, tuple, lambda items: Pair(*items), lambda items: {"a": items[0], "b": items[1]}]
)
def test_explicit_masks_of_a_nest(kind, x, y, other_mask):
    layer = OneInput()
    _, mask, *_ = layer(kind([x, y]), mask=kind([other_mask, None]))
    assert jax.tree.leaves(mask)[0] is other_mask
    assert jax.tree.leaves(mask)[1] is y.mask
    _, mask, *_ = layer(kind([x, y]), mask=kind([jm.NO_MASK, y.mask]))
    assert jax.tree.leaves(mask) == [y.mask]


def test_a_list_of_masks_serves_a_tuple_of_inputs(x, y, other_mask):
    for masks in ([other_mask, None], (other_mask, None)):
        assert ManyInputs()(x, y, mask=masks)[1][0] is other_mask
        assert OneInput()((x, y), mask=masks)[1][0] is other_mask
        assert OneInput()([x, y], mask=masks)[1][0] is other_mask
    assert ManyInputs()(x, mask=other_mask)[1][0] is other_mask
    assert ManyInputs()([x, y], mask=[other_mask, None])[1][0][0] is other_mask


def test_explicit_masks_beside_none_leaves(x, other_mask):
    inputs, mask, *_ = OneInput()([None, x, 3], mask=[None, other_mask, None])
    assert (inputs[0], inputs[2], mask[0], mask[2]) == (None, 3, None, None)
    assert mask[1] is other_mask


REFUSED = {
    "structure": (
        lambda x: OneInput()(x, mask=[x.mask]),
        ValueError,
        r"^one_input: the mask of `inputs` must have the structure of `inputs`, with one mask, None or jm.NO_MASK for "
        r"each array; received PyTreeDef\(\[\*\]\) for PyTreeDef\(\*\)\.$",
    ),
    "one mask for two": (
        lambda x: OneInput()([x, x], mask=x.mask),
        ValueError,
        "^one_input: the mask of `inputs` must have the structure",
    ),
    "shape": (
        lambda x: OneInput()(x, mask=jnp.ones((3, 4), bool)),
        ValueError,
        r"^one_input: the mask of `inputs` does not fit it. The shape of a mask must be a prefix of the values' shape, "
        r"e.g. \(batch, time\) for values \(batch, time, features\); received mask \(3, 4\) for values \(3, 5, 7\)\.$",
    ),
    "rank": (
        lambda x: OneInput()(x, mask=jnp.ones((3, 5, 7, 1), bool)),
        ValueError,
        r"^one_input: the mask of `inputs` does not fit it",
    ),
    "shape by name": (
        lambda x: TwoInputs()(x, x, context_mask=jnp.ones((3, 4), bool)),
        ValueError,
        r"^two_inputs: the mask of `context` does not fit it",
    ),
    "dtype": (
        lambda x: OneInput()(x, mask=jnp.ones((3, 5))),
        TypeError,
        r"^one_input: the mask of `inputs` does not fit it. A mask must be bool, True at real steps; received dtype "
        r"float32\. Of 1.0 \(real\) and 0.0 take `mask == 1`",
    ),
    "no array": (
        lambda x: OneInput()(x, mask=True),
        TypeError,
        r"^one_input: the mask of `inputs` must be a bool array, None or jm.NO_MASK; received True\.$",
    ),
    "mask of no array": (
        lambda x: OneInput()([x, "mean"], mask=[None, x.mask]),
        TypeError,
        r"^one_input: a mask belongs to an array; there is one for the str in `inputs`\.$",
    ),
    "mask of None": (
        lambda x: OneInput()([x, None], mask=[None, x.mask]),
        TypeError,
        r"^one_input: a mask belongs to an array; there is one for the NoneType in `inputs`\.$",
    ),
    "two masks": (
        lambda x: TwoInputs()(x, mask=x.mask, query_mask=x.mask),
        TypeError,
        "^two_inputs: `mask` and `query_mask` are both the mask of `query`; pass one of them.$",
    ),
    "mask of a missing input": (
        lambda x: TwoInputs()(x, context_mask=x.mask),
        TypeError,
        "^two_inputs: there is a mask for `context`, but no `context`.$",
    ),
    "unknown argument": (
        lambda x: OneInput()(x, axis=1),
        TypeError,
        r"^one_input: `OneInput.call` got an unexpected keyword argument 'axis'; its inputs are `\(inputs\)`\.$",
    ),
    "unknown mask": (
        lambda x: OneInput()(x, context_mask=x.mask),
        TypeError,
        r"^one_input: `OneInput.call` got an unexpected keyword argument 'context_mask'; its inputs are `\(inputs\)`",
    ),
    "missing argument": (
        lambda x: OneInput()(),
        TypeError,
        r"^one_input: `OneInput.call` missing a required argument: 'inputs'; its inputs are `\(inputs\)`\. `apply`",
    ),
    "too many arguments": (
        lambda x: OneInput()(x, x),
        TypeError,
        r"^one_input: `OneInput.call` too many positional arguments; its inputs are `\(inputs\)`\.$",
    ),
    "mask without inputs": (
        lambda x: ManyInputs()(mask=x.mask),
        TypeError,
        "^many_inputs: there is a mask for `inputs`, but no `inputs`.$",
    ),
}


@pytest.mark.filterwarnings("ignore::jmask.MaskDroppedWarning")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case, x):
    call, kind, text = REFUSED[case]
    with pytest.raises(kind, match=text):
        call(x)


def test_the_path_stands_in_front_of_an_error_deep_inside(x):
    class Block(jm.Layer):
        supports_masking = True
        inner: jm.Layer = OneInput(name="spy")

        def call(self, params, inputs):
            return self.inner(inputs, mask=jnp.ones((3, 4), bool))

    with pytest.raises(ValueError, match=r"^sequential/block/spy: the mask of `inputs` does not fit"):
        jm.Sequential([Block()]).apply({}, x)
