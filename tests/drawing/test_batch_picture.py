"""The picture of a batch shows each step as what it is."""

import io

import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.drawing.batch_picture import HOLE, PADDING, cells_of


def test_cells_of_padding_holes_and_empty_rows():
    x = jm.masked(jnp.zeros((3, 4)), jnp.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool))
    assert cells_of(x).tolist() == [[0, 0, PADDING, PADDING], [PADDING, 0, HOLE, 0], [PADDING] * 4]


def test_cells_of_packed_rows_count_the_sequences_of_a_row():
    x = jm.from_segment_ids(jnp.zeros((2, 5)), jnp.array([[4, 4, 0, 7, 0], [2, 2, 2, 1, 2]]))
    assert cells_of(x).tolist() == [[0, 0, HOLE, 1, PADDING], [0, 0, 0, 1, 0]]


def test_cells_of_documents_and_of_large_batches():
    documents = jm.pad_sequences([[[1, 2], [3]], [[4]]], ragged_rank=2)
    assert cells_of(documents).tolist() == [[0, 0], [0, PADDING], [0, PADDING], [PADDING, PADDING]]
    assert cells_of(jm.from_lengths(jnp.zeros((600, 700)), [700] * 600)).shape == (500, 500)


@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (2, 0), (100, 80)])
def test_a_picture_has_a_title_and_can_be_saved(shape):
    figure = jm.show(jm.masked(jnp.ones(shape), jnp.ones(shape, bool)))
    assert figure.axes[0].get_title() == f"{shape[0]} rows of {shape[1]} steps, 0% padding"
    figure.savefig(png := io.BytesIO(), format="png")
    assert png.getvalue().startswith(b"\x89PNG")


def test_it_draws_on_axes_that_are_given():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert jm.show(jm.pad_sequences([[1], [2, 3]]), axes, title="mine") is axes.figure
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array(), [[0, PADDING], [0, 0]])
    assert axes.get_title() == "mine"


@pytest.mark.parametrize("x", [np.zeros((2, 3)), "batch"])
def test_what_has_no_mask_is_refused(x):
    with pytest.raises(TypeError, match=r"`show` draws a `Masked` .* `jm\.pad_sequences\(sequences\)`"):
        jm.show(x)
