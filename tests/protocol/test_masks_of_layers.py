"""What becomes of masks at a layer: passed on, merged, changed, ended, or refused; and what never gets past them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close


class Stepwise(jm.Layer):
    """Applies a function, which has one or several outputs, to its inputs."""

    supports_masking = True
    function: object

    def call(self, params, *inputs):
        return self.function(*inputs)


class OneNest(jm.Layer):
    supports_masking = True
    function: object

    def call(self, params, inputs):
        return self.function(inputs)


class Computes(jm.Layer):
    """Outputs and masks from functions."""

    function: object
    masks: object

    def call(self, params, inputs):
        return self.function(inputs)

    def compute_mask(self, inputs, mask):
        return self.masks(mask)


@pytest.fixture
def x(rng):
    values = rng.normal(size=(3, 5, 7)).astype("float32")
    values[0, 4:], values[1] = np.nan, np.nan
    return jm.from_lengths(jnp.asarray(values), [4, 0, 5])


@pytest.fixture
def y():
    return jm.masked(jnp.ones((3, 5, 2)), jnp.asarray([[True, False, True, False, True]] * 3))


@pytest.fixture
def short():
    return jm.from_lengths(jnp.ones((3, 2, 7)), [1, 0, 2], padding_side="left")


# supports_masking: outputs in the structure of the first input have its masks, leaf by leaf


def test_one_input_one_output(x):
    output = Stepwise(lambda v: v[..., :2] * 2)(x)
    assert output.shape == (3, 5, 2)
    assert output.mask is x.mask


@pytest.mark.parametrize("kind", [list, tuple, lambda items: {"b": items[0], "a": items[1]}])
def test_nests_go_leaf_by_leaf(kind, x, short):
    output = OneNest(lambda v: jax.tree.map(jnp.square, v))(kind([x, short]))
    for leaf, original in zip(
        jax.tree.leaves(output, is_leaf=is_masked), jax.tree.leaves(kind([x, short]), is_leaf=is_masked), strict=True
    ):
        assert leaf.mask is original.mask


def test_leaf_by_leaf_an_input_without_a_mask_gives_an_output_without_one(x):
    first, second = OneNest(lambda v: v)([x.values, x])
    assert isinstance(first, jax.Array)
    assert second.mask is x.mask


def test_none_leaves_have_no_masks(x):
    first, second = OneNest(lambda v: v)([None, x])
    assert first is None
    assert second.mask is x.mask


def test_several_arguments_returned_as_a_list_or_a_tuple_go_leaf_by_leaf(x, short):
    for kind in (list, tuple):
        first, second = Stepwise(lambda *v, kind=kind: kind(v))(x, short)
        assert first.mask is x.mask
        assert second.mask is short.mask


# supports_masking: any other structure takes the AND of all masks


def test_several_inputs_to_one_output_take_the_and(x, y):
    output = OneNest(lambda v: v[0][..., :2] + v[1])([x, y])
    np.testing.assert_array_equal(output.mask, x.mask & y.mask)
    np.testing.assert_array_equal(Stepwise(lambda a, b: a[..., :2] + b)(x, y).mask, x.mask & y.mask)


def test_an_input_without_a_mask_counts_as_real_in_the_and(x):
    for inputs in ([x.values, x], [x, x.values], [x, None]):
        output = OneNest(lambda v: jax.tree.leaves(v)[0])(inputs)
        assert output.mask is x.mask


def test_the_same_mask_twice_stays_the_same_mask(x):
    output = OneNest(lambda v: v[0] + v[1])([x, x * 2])
    assert output.mask is x.mask


def test_one_mask_goes_to_every_output(x):
    outputs = Stepwise(lambda v: {"a": v, "b": (v[..., 0], v * 2)})(x)
    leaves = jax.tree.leaves(outputs, is_leaf=is_masked)
    assert len(leaves) == 3
    assert all(leaf.mask is x.mask for leaf in leaves)


def test_a_second_argument_joins_the_and_although_the_structure_is_that_of_the_first(x, y):
    class Uses(jm.Layer):
        supports_masking = True

        def call(self, params, inputs, gate):
            return inputs * gate[..., :1]

    np.testing.assert_array_equal(Uses()(x, y).mask, x.mask & y.mask)
    np.testing.assert_array_equal(Uses()(x.values, y).mask, y.mask)


def test_masks_of_different_shapes_have_no_and(x, short):
    layer = OneNest(lambda v: v[0], name="both")
    with pytest.raises(ValueError, match="no common mask") as error:
        layer([x, short])
    assert str(error.value) == (
        "both: inputs with masks of different shapes [(3, 5), (3, 2)] have no common mask; give the layer a "
        "`compute_mask` that says which mask its output has."
    )


def test_an_output_that_the_mask_does_not_fit_is_refused(x):
    layer = Stepwise(lambda v: v[:, ::2], name="stride")
    with pytest.raises(ValueError, match="does not fit") as error:
        layer(x)
    assert str(error.value) == (
        "stride: the mask does not fit the layer's output. The shape of a mask must be a prefix of the values' shape, "
        "e.g. (batch, time) for values (batch, time, features); received mask (3, 5) for values (3, 3, 7). If the layer"
        " changes the time axis, give it a `compute_mask` that changes the mask alike, or returns None."
    )
    with pytest.raises(ValueError, match=r"received mask \(3, 5\) for values \(3,\)"):
        Stepwise(lambda v: v.sum(axis=(1, 2)))(x)
    with pytest.raises(TypeError, match=r"^stepwise: a mask belongs to an array; the output is a str"):
        Stepwise(lambda v: (v, "text"))(x)


def test_without_masks_nothing_is_masked(x):
    assert isinstance(Stepwise(lambda v: v)(x.values), jax.Array)
    assert [type(v) for v in OneNest(lambda v: v)([x.values, None])] == [type(x.values), type(None)]


# compute_mask


def test_compute_mask_changes_the_mask(x):
    output = Computes(lambda v: v[:, ::2], lambda mask: mask[:, ::2])(x)
    assert output.lengths.tolist() == [2, 0, 3]


def test_compute_mask_returning_none_ends_the_mask_without_a_warning(x):
    assert isinstance(Computes(lambda v: v, lambda mask: None)(x), jax.Array)


def test_compute_mask_goes_before_supports_masking(x):
    class Both(Computes):
        supports_masking = True

    assert isinstance(Both(lambda v: v, lambda mask: None)(x), jax.Array)


def test_compute_mask_may_return_a_list_for_a_tuple(x):
    def halves(v):
        return v[:, :2], v[:, 2:]

    for kind in (list, tuple):
        first, second = Computes(halves, lambda mask, kind=kind: kind(halves(mask)))(x)
        assert first.lengths.tolist() == [2, 0, 2]
        assert second.lengths.tolist() == [2, 0, 3]


def test_compute_mask_may_leave_some_outputs_without_a_mask(x):
    outputs = Computes(lambda v: {"steps": v, "sum": v.sum(axis=1)}, lambda mask: {"steps": mask, "sum": None})(x)
    assert outputs["steps"].mask is x.mask
    assert isinstance(outputs["sum"], jax.Array)


@pytest.mark.parametrize(
    ("outputs", "masks", "received"),
    [
        (lambda v: (v, v), lambda mask: mask, "*"),
        (lambda v: (v, v), lambda mask: (mask,), "(*,)"),
        (lambda v: (v, v), lambda mask: [mask, mask, None], "[*, *, *]"),
        (lambda v: v, lambda mask: [mask], "[*]"),
        (lambda v: {"a": v}, lambda mask: {"b": mask}, "{'b': *}"),
        (lambda v: [(v, v)], lambda mask: [mask], "[*]"),
    ],
)
def test_masks_in_another_structure_are_refused(x, outputs, masks, received):
    with pytest.raises(ValueError, match="must return") as error:
        Computes(outputs, masks, name="odd")(x)
    expected = jax.tree.structure(outputs(0))
    assert str(error.value) == (
        "odd: `compute_mask` must return one mask or None for each output, in their structure "
        f"{expected}; received PyTreeDef({received})."
    )


def test_masks_of_another_shape_or_dtype_are_refused(x):
    with pytest.raises(ValueError, match=r"^odd: the mask does not fit the layer's output\. .* received mask \(3, 4\)"):
        Computes(lambda v: v, lambda mask: mask[:, :4], name="odd")(x)
    with pytest.raises(TypeError, match=r"^odd: `compute_mask` must return masks\. A mask must be bool"):
        Computes(lambda v: v, lambda mask: mask.astype("float32"), name="odd")(x)
    with pytest.raises(TypeError, match=r"^odd: a mask belongs to an array; the output is a NoneType"):
        Computes(lambda v: [v, None], lambda mask: [mask, mask], name="odd")(x)


def test_compute_mask_is_asked_without_a_mask_too(x):
    ids = jnp.asarray([[4, 0]])
    assert jm.layers.Embedding(5, 2, mask_zero=True).compute_mask(ids).tolist() == [[True, False]]
    made = Computes(lambda v: v, lambda mask: jnp.ones((3, 5), bool) if mask is None else mask)
    assert made(x.values).lengths.tolist() == [5, 5, 5]


# Inputs whose mask nobody asked for


def test_the_mask_of_a_second_input_is_dropped_if_nobody_asks_for_it(x, short):
    class Attends(jm.Layer):
        def call(self, params, query, context):
            return query

        def compute_mask(self, query, mask):
            return mask

    with pytest.warns(jm.MaskDroppedWarning) as caught:
        assert Attends(name="a")(x, short).mask is x.mask
    assert str(caught[0].message).startswith(
        "a: the mask of `context` is dropped here, so what follows takes padding for data, because neither `call` nor "
        "`compute_mask` of `Attends` asks for it."
    )
    assert Attends()(x, short, context_mask=jm.NO_MASK).mask is x.mask
    assert Attends()(x, short.values).mask is x.mask


@pytest.mark.parametrize("where", ["call", "compute_mask"])
def test_it_is_enough_that_one_of_them_asks(where, x, short):
    def without(self, *inputs, mask=None):
        return mask

    if where == "call":

        class Attends(jm.Layer):
            def call(self, params, query, context, context_mask=None):
                assert context_mask is short.mask
                return query

            def compute_mask(self, query, mask):
                return mask
    else:

        class Attends(jm.Layer):
            def call(self, params, query, context):
                return query

            def compute_mask(self, query, mask, context_mask):
                assert context_mask is short.mask
                return mask

    assert Attends()(x, short).mask is x.mask


def test_using_a_mask_in_call_does_not_say_what_becomes_of_it(x):
    class Uses(jm.Layer):
        def call(self, params, inputs, mask=None):
            return inputs

    with pytest.warns(jm.MaskDroppedWarning, match="`Uses` uses it, but does not say what becomes of it"):
        Uses()(x)


# Masked leaves that `call` returns


def test_a_masked_output_answers_for_itself(x, y):
    own = y.mask

    class Returns(jm.Layer):
        def call(self, params, inputs):
            return {"own": jm.masked(inputs, own), "plain": inputs}

    class Supports(Returns):
        supports_masking = True

    class ComputesToo(Returns):
        def compute_mask(self, inputs, mask):
            return {"own": mask, "plain": mask}

    outputs = Returns()(x)
    assert outputs["own"].mask is own
    assert isinstance(outputs["plain"], jax.Array)
    for layer in (Supports(), ComputesToo()):
        outputs = layer(x)
        assert outputs["own"].mask is own
        assert outputs["plain"].mask is x.mask


def test_a_layer_that_takes_masked_gets_them_as_they_are(x):
    class Takes(jm.Layer):
        raw_inputs = True

        def call(self, params, first, second, mask=None):
            assert first is x
            assert second is x.values
            assert mask is x.mask
            return first

    assert Takes()(x, x.values) is x


def test_a_layer_that_takes_masked_sees_explicit_masks_too(x, y):
    class Takes(jm.Layer):
        raw_inputs = True

        def call(self, params, inputs):
            return inputs

    assert Takes()(x, mask=y.mask).mask is y.mask
    assert Takes()(x, mask=jm.NO_MASK) is x.values
    assert Takes()(x.values, mask=y.mask).mask is y.mask


# What `call` never sees


RISKY = {
    "log": lambda params, x: jnp.log(x),
    "reciprocal": lambda params, x: 1 / x,
    "sqrt": lambda params, x: jnp.sqrt(x),
    "power": lambda params, x: x**0.5,
    "matmul": lambda params, x: x @ params["w"],
    "norm": lambda params, x: x / jnp.linalg.norm(x, axis=-1, keepdims=True),
    "weights": lambda params, x: jnp.exp(x) @ params["w"],
}


@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf, 1e30, -1.0])
@pytest.mark.parametrize("name", RISKY)
def test_padding_reaches_neither_values_nor_gradients(name, garbage, rng, getkey):
    values = rng.uniform(0.5, 2, size=(4, 5, 3)).astype("float32")
    mask = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1]], bool)
    weights = {"w": jax.random.normal(getkey(), (3, 2))}

    class Risky(jm.Layer):
        supports_masking = True

        def call(self, params, inputs):
            return RISKY[name](params, inputs)

    def loss(params, values):
        output = Risky().apply(params, jm.masked(values, mask))
        return (output.fill(0) ** 2).sum()

    def alone(params, rows):
        return sum((RISKY[name](params, row) ** 2).sum() for row in rows)

    rows = [jnp.asarray(row[steps]) for row, steps in zip(values, mask, strict=True)]
    expected, (param_gradients, row_gradients) = jax.value_and_grad(alone, argnums=(0, 1))(weights, rows)
    padded = np.where(mask[..., None], values, garbage)
    actual, gradients = jax.value_and_grad(loss, argnums=(0, 1))(weights, jnp.asarray(padded, "float32"))
    assert_close(actual, expected)
    assert_close(gradients[0]["w"], param_gradients["w"])
    for gradient, steps, row in zip(np.asarray(gradients[1]), mask, row_gradients, strict=True):
        assert_close(gradient[steps], row)
        assert (gradient[~steps] == 0).all()


def is_masked(leaf):
    return isinstance(leaf, jm.Masked)
