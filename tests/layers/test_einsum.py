"""`EinsumDense`: shapes as in Keras, the mask's axes, initial values, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.parameters import shapes

L = jm.layers


@pytest.mark.parametrize(
    ("equation", "output_shape", "bias_axes", "inputs", "kernel", "bias", "outputs"),
    [
        ("ab,bc->ac", 7, "c", (2, 3), (3, 7), (7,), (2, 7)),
        ("abc,cd->abd", (None, 7), "d", (2, 5, 3), (3, 7), (7,), (2, 5, 7)),
        ("abc,cd->abd", (5, 7), "bd", (2, 5, 3), (3, 7), (5, 7), (2, 5, 7)),
        ("abc,cd->abd", (None, 7), "b", (2, 5, 3), (3, 7), (5, 1), (2, 5, 7)),
        ("...x,xy->...y", 7, "y", (2, 5, 3), (3, 7), (7,), (2, 5, 7)),
        ("...x,xy->...y", 7, None, (3,), (3, 7), None, (7,)),
        ("ab...,bc->ac...", 7, "c", (2, 3, 5, 4), (3, 7), (7, 1, 1), (2, 7, 5, 4)),
        ("abc,dec->abde", (None, 7, 2), "de", (2, 5, 3), (7, 2, 3), (7, 2), (2, 5, 7, 2)),
        ("abc,bd->acd", (None, 7), "d", (2, 5, 3), (5, 7), (7,), (2, 3, 7)),
        ("abc,c->ab", (None,), "", (2, 5, 3), (3,), (), (2, 5)),
        ("abc,bc->abc", (None, None), None, (2, 5, 3), (5, 3), None, (2, 5, 3)),
    ],
)
def test_shapes_of_einsum_are_those_of_keras(
    equation, output_shape, bias_axes, inputs, kernel, bias, outputs, rng, getkey
):
    values = rng.normal(size=inputs).astype("float32")
    layer = L.EinsumDense(equation, output_shape, bias_axes=bias_axes, bias_initializer="ones")
    params = layer.init(getkey(), values)
    assert shapes(params) == {"kernel": kernel} | ({} if bias is None else {"bias": bias})
    output = layer.apply(params, values)
    assert output.shape == outputs
    assert_close(output, np.einsum(equation, values, params["kernel"]) + (bias is not None))


def test_einsum_draws_its_kernel_by_the_axes_that_it_contracts(getkey):
    layer = L.EinsumDense("btf,hfd->bthd", (None, 11, 13))
    kernel = layer.init(getkey(), jnp.ones((2, 3, 40)))["kernel"]
    assert kernel.shape == (11, 40, 13)
    limit = (6 / (40 + 11 * 13)) ** 0.5
    assert 0.95 * limit < jnp.abs(kernel).max() <= limit
    orthogonal = L.EinsumDense("btf,hfd->bthd", (None, 2, 3), kernel_initializer="orthogonal")
    rows = jnp.moveaxis(orthogonal.init(getkey(), jnp.ones((2, 3, 5)))["kernel"], 1, 0).reshape(5, 6)
    assert_close(rows @ rows.T, np.eye(5))
    own = L.EinsumDense(
        "btf,hfd->bthd", (None, 2, 3), kernel_initializer=lambda key, shape, dtype: jnp.full(shape, 7.0)
    )
    assert (own.init(getkey(), jnp.ones((2, 3, 5)))["kernel"] == 7).all()


def test_einsum_keeps_the_mask_with_its_hint_and_activates(x, getkey):
    layer = L.EinsumDense("btf,fhd->bthd", (None, 2, 3), activation=jnp.log, kernel_initializer="ones")
    positive = jm.masked(jnp.abs(x.values) + 1, x.mask)
    params = layer.init(getkey(), positive)
    output = layer.apply(params, positive)
    assert output.mask is x.mask
    gradient = jax.grad(lambda p: layer.apply(p, positive).fill(0).sum())(params)
    assert jnp.isfinite(gradient["kernel"]).all()


@pytest.mark.parametrize("equation", ["abc,bd->acd", "abc,cd->ad", "abc,cd->adb", "abc,cd->bad", "abc,bcd->abd"])
def test_einsum_refuses_to_move_contract_or_weigh_steps(equation, x):
    kernel = jnp.ones([{"b": 5, "c": 4, "d": 2}[letter] for letter in equation[4:].partition("-")[0]])
    with pytest.raises(
        ValueError, match=r"keeps the masked axes, here 'ab' of values \(3, 5, 4\), in front and out of"
    ):
        jm.ops.einsum_dense(x, kernel, equation=equation)
    assert jm.ops.einsum_dense(x.fill(0), kernel, equation=equation).shape


def test_einsum_refuses_a_bias_for_each_step(x, getkey):
    layer = L.EinsumDense("abc,cd->abd", (None, 2), bias_axes="bd")
    params = layer.init(getkey(), x)
    with pytest.raises(
        ValueError, match=r"`bias` of `einsum_dense` has shape \(5, 2\), so it differs along the masked"
    ):
        layer.apply(params, x)
    assert layer.apply(params, x.fill(0)).shape == (3, 5, 2)


@pytest.mark.parametrize(
    "equation", ["ab,bc", "ab->ac", "a b,bc->ac", "...ab,bc->ac", "...ab,bc->ac...", "ab,bc->", 3 * "ab,"]
)
def test_einsum_refuses_equations_of_another_form(equation):
    with pytest.raises(
        ValueError, match=r"`equation` has the form 'ab,bc->ac', .* inputs and kernel to outputs; received"
    ):
        L.EinsumDense(equation, 3)


@pytest.mark.parametrize("equation", ["aab,bc->ac", "ab,bb->ab", "ab,bc->ad", "ab,bcd->ac"])
def test_einsum_refuses_letters_without_a_size(equation):
    with pytest.raises(
        ValueError, match="a letter stands for one axis of a term; outputs have letters of the inputs or"
    ):
        L.EinsumDense(equation, 3)


def test_einsum_refuses_shapes_that_do_not_fit(x, getkey):
    with pytest.raises(
        ValueError, match="`bias_axes` of `EinsumDense` are letters of the outputs, here 'ac'; received 'b'"
    ):
        L.EinsumDense("ab,bc->ac", 3, bias_axes="b")
    for equation, output_shape, message in (
        (
            "abc,cd->abd",
            7,
            "`output_shape` has a size, or None, for each of the axes 'bd' of `abc,cd->abd`; received 7",
        ),
        ("abc,cd->abd", (None, None), "must say the size of 'd' in `abc,cd->abd`, which no input has"),
        ("abc,cd->abd", (6, 7), "The size of 'b' in `abc,cd->abd` is 5 in the inputs; `output_shape` says 6"),
        ("ab,bc->ac", 7, "The equation 'ab,bc->ac' does not fit inputs of rank 3"),
        ("...abcd,de->...abce", (1, 2, 3, 4), "does not fit inputs of rank 3"),
    ):
        with pytest.raises(ValueError, match=message):
            L.EinsumDense(equation, output_shape).init(getkey(), x)
