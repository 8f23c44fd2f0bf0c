"""How a `Masked` looks as text, as HTML and in treescope: padding is drawn apart, and nothing breaks the display."""

import base64
import html
import html.parser
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import treescope

import jmask as jm

TEXTS = {
    "tokens": (
        lambda: jm.from_lengths(np.array([[7, 8, 99], [5, 0, 0], [1, 2, 3]], np.int32), np.array([2, 0, 3])),
        """
        Masked(int32[3, 3], lengths=[2 0 3])
        [[7 8 ·]
         [· · ·]
         [1 2 3]]
        """,
    ),
    "left padding and wide numbers": (
        lambda: jm.from_lengths(np.array([[0, 1234], [5, 6]], np.int32), np.array([1, 2]), padding_side="left"),
        """
        Masked(int32[2, 2], lengths=[1 2])
        [[   · 1234]
         [   5    6]]
        """,
    ),
    "a hole, NaN in the padding and NaN that is real": (
        lambda: jm.masked(np.array([[1.5, np.nan, np.nan, 1e-9]], np.float32), np.array([[True, False, True, True]])),
        """
        Masked(float32[1, 4], lengths=[3])
        [[  1.5     ·   nan 1e-09]]
        """,
    ),
    "one sequence": (
        lambda: jm.masked(np.array([True, False, True]), np.array([True, True, False])),
        """
        Masked(bool[3], real=2)
        [ True False     ·]
        """,
    ),
    "features": (
        lambda: jm.masked(np.arange(12, dtype=np.float32).reshape(1, 2, 6) / 4, np.array([[True, False]])),
        """
        Masked(float32[1, 2, 6], lengths=[1])
        [[(0 0.25 0.5 0.75 …)                   ·]]
        """,
    ),
    "rows of vectors": (
        lambda: jm.masked(np.array([[0.5, 2], [np.nan, 1], [-1, 0.25]], np.float32), np.array([True, False, True])),
        """
        Masked(float32[3, 2], real=2)
        [[ 0.5    2]
         [   ·    ·]
         [  -1 0.25]]
        """,
    ),
    "rows of long vectors": (
        lambda: jm.masked(np.arange(20, dtype=np.int32).reshape(2, 10), np.array([False, True])),
        """
        Masked(int32[2, 10], real=1)
        [[ ·  ·  ·  ·  …  ·  ·  ·  ·]
         [10 11 12 13  … 16 17 18 19]]
        """,
    ),
    "features of rank 2": (
        lambda: jm.masked(np.arange(8, dtype=np.int32).reshape(2, 2, 2), np.array([False, True])),
        """
        Masked(int32[2, 2, 2], real=1)
        [[        ·]
         [(4 5 6 7)]]
        """,
    ),
    "bfloat16": (
        lambda: jm.masked(jnp.array([[1, 0.3]], jnp.bfloat16), jnp.array([[True, True]])),
        """
        Masked(bfloat16[1, 2], lengths=[2])
        [[       1 0.300781]]
        """,
    ),
    "strings": (
        lambda: jm.masked(np.array([["the", "cat"], ["·", "…"], ["", "a b"], ["a\nb", "x"]]), np.ones((4, 2), bool)),
        r"""
        Masked(<U3[4, 2], lengths=[2 2 2 2])
        [[   the    cat]
         [   '·'    '…']
         [    ''  'a b']
         ['a\nb'      x]]
        """,
    ),
    "objects": (
        lambda: jm.masked(np.array([["a", None], [(1, 2), 3]], object), np.array([[True, False], [True, True]])),
        """
        Masked(object[2, 2], lengths=[1 2])
        [[     a      ·]
         [(1, 2)      3]]
        """,
    ),
    "one step": (lambda: jm.masked(np.arange(3), np.array(False)), "Masked(int64[3], real=False)"),
    "one step of NumPy": (
        lambda: jm.masked(np.arange(3, dtype=np.int32), np.array([True] * 3))[1],
        "Masked(int32[], real=True)",
    ),
    "documents": (
        lambda: jm.from_lengths(np.zeros((2, 2, 3), np.int32), np.array([[1, 2], [0, 3]])),
        "Masked(int32[2, 2, 3], lengths=[[1 2] [0 3]])",
    ),
    "no rows": (lambda: jm.masked(np.zeros((0, 3)), np.zeros((0, 3), bool)), "Masked(float64[0, 3], lengths=[])"),
    "no steps": (lambda: jm.masked(np.zeros((2, 0)), np.zeros((2, 0), bool)), "Masked(float64[2, 0], lengths=[0 0])"),
    "no features": (
        lambda: jm.masked(np.zeros((1, 2, 0)), np.array([[True, False]])),
        """
        Masked(float64[1, 2, 0], lengths=[1])
        [[()  ·]]
        """,
    ),
}


def unindented(text):
    lines = [line.removeprefix(" " * 8) for line in text.strip("\n").splitlines()]
    return "\n".join(lines).strip()


@pytest.mark.parametrize("case", TEXTS)
def test_text(case):
    make, expected = TEXTS[case]
    assert repr(make()) == unindented(expected)
    assert str(make()) == repr(make())


def test_text_of_jax_arrays_is_that_of_numpy():
    make, expected = TEXTS["tokens"]
    assert repr(jax.tree.map(jnp.asarray, make())) == unindented(expected)


@pytest.mark.slow
def test_large_arrays_are_cut_short():
    time, batch = 100_000, 1000
    values = np.broadcast_to(np.arange(time, dtype=np.int32), (batch, time))
    x = jm.masked(values, values < 99_990)
    lines = repr(x).splitlines()
    assert lines[0] == "Masked(int32[1000, 100000], lengths=[" + "99990 " * 6 + "... " + " ".join(["99990"] * 6) + "])"
    assert len(lines) == 1 + 12 + 1
    cells = lines[1].strip("[]").split()
    assert cells == [*map(str, range(12)), "…", "99988", "99989", *["·"] * 10]
    assert lines[-1].startswith(" …")
    assert len(repr(x)) < 5000
    assert len(x._repr_html_()) < 60_000
    assert "988 more rows" in x._repr_html_()
    assert len(repr(jm.masked(values[0], values[0] < 3))) < 500


ABSTRACT = {
    "ShapeDtypeStruct": (
        lambda x: jax.eval_shape(lambda x: x, x),
        "Masked(float32[2, 3], mask=[2, 3])",
    ),
    "shapes": (lambda x: jax.tree.map(jnp.shape, x), "Masked((2, 3), mask=(2, 3))"),
    "dtypes": (
        lambda x: jax.tree.map(lambda leaf: leaf.dtype, x),
        "Masked(dtype('float32'), mask=dtype('bool'))",
    ),
    "None": (lambda x: jax.tree.map(lambda leaf: None, x), "Masked(None, mask=None)"),
    "numbers": (lambda x: jax.tree.map(lambda leaf: 0, x), "Masked(0, mask=0)"),
    "sums": (lambda x: jax.tree.map(jnp.sum, x), "Masked(float32[], mask=int32[])"),
    "a mask of floats": (
        lambda x: jax.tree.map(lambda leaf: leaf * 1.0, x),
        "Masked(float32[2, 3], mask=float32[2, 3])",
    ),
    "shapes that do not fit": (
        lambda x: jax.tree.map(lambda leaf: leaf.T if leaf.dtype == bool else leaf, x),
        "Masked(float32[2, 3], mask=[3, 2])",
    ),
    "a cotangent": (
        lambda x: jax.grad(lambda x: x.fill(0).sum(), allow_int=True)(x),
        "Masked(float32[2, 3], mask=[('float0', 'V')][2, 3])",
    ),
    "random keys": (
        lambda x: x.with_values(jax.random.split(jax.random.key(0), (2, 3))),
        "Masked(key<fry>[2, 3], mask=[2, 3])",
    ),
}


@pytest.mark.parametrize("case", ABSTRACT)
def test_text_of_what_transforms_put_in_place_of_arrays(case):
    make, expected = ABSTRACT[case]
    x = make(jm.from_lengths(jnp.ones((2, 3)), [1, 2]))
    assert repr(x) == expected
    assert re.sub("&#x27;", "'", x._repr_html_()) == f"<pre>{expected}</pre>".replace("<fry>", "&lt;fry&gt;")
    assert "Masked(" in treescope.render_to_text(x)
    assert treescope.render_to_html(x)


def test_text_of_tracers():
    texts = []

    @jax.jit
    def function(x):
        texts.append(repr(x))
        texts.append(x._repr_html_())
        jax.vmap(lambda row: texts.append(repr(row)))(x)
        treescope.render_to_text(x)
        return x

    function(jm.from_lengths(jnp.ones((2, 3)), [1, 2]))
    expected = "Masked(float32[2, 3], mask=[2, 3])"
    assert texts[0].replace("", "") == expected
    assert texts[1].startswith("<pre>Masked(float32[2, 3]")
    assert texts[2].startswith("Masked(float32[3], mask=[3]")


class Cells(html.parser.HTMLParser):
    """The cells of the table, row by row: their text, or None where they are marked as padding."""

    def __init__(self, source):
        super().__init__()
        self.rows, self.is_padding, self.tags, self.styles = [], False, set(), []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.is_padding = ("title", "padding") in attrs
            self.styles.append(dict(attrs)["style"])
            hatched = "repeating-linear-gradient" in self.styles[-1]
            assert hatched == self.is_padding
            self.rows[-1].append(None if self.is_padding else "")

    def handle_data(self, data):
        if self.lasttag == "td":
            assert not self.is_padding
            self.rows[-1][-1] += data


def test_html_marks_padding():
    x = TEXTS["tokens"][0]()
    assert Cells(x._repr_html_()).rows == [["7", "8", None], [None] * 3, ["1", "2", "3"]]
    assert "Masked(int32[3, 3], lengths=[2 0 3]" in x._repr_html_()
    assert Cells(TEXTS["one sequence"][0]()._repr_html_()).rows == [["True", "False", None]]


def test_rows_that_are_empty_are_as_high_as_others():
    styles = Cells(jm.pad_sequences([[], [1.0]])._repr_html_()).styles
    assert len(styles) == 2
    assert all("height:1.4em" in style and "min-width:1em" in style for style in styles)


def test_html_escapes_strings_and_tells_a_dot_from_padding():
    words = np.array([["<script>alert(1)</script>", "·", "&amp;", '"']])
    x = jm.masked(words, np.array([[True, True, True, False]]))
    cells = Cells(x._repr_html_())
    assert cells.rows == [["<script>alert(1)</script>", "'·'", "&amp;", None]]
    assert cells.tags == {"div", "code", "table", "tr", "td"}


def test_treescope_text_shows_the_arrays():
    x = TEXTS["a hole, NaN in the padding and NaN that is real"][0]()
    text = treescope.render_to_text({"x": x})
    assert "Masked(" in text
    assert "values=np.array([[1.5e+00," in text
    assert "mask=np.array([[ True, False," in text
    for internal in ("Arrayviz", "Figure", "html", "script"):
        assert internal not in text.replace("Rich HTML representation", "")


def test_treescope_html_contains_the_values_and_marks_padding():
    x = TEXTS["tokens"][0]()
    page = html.unescape(treescope.render_to_html(x, compressed=False))
    valid, values = (re.search(rf'"{name}": "([^"]+)"', page).group(1) for name in ("validMaskBase64", "arrayBase64"))
    assert np.frombuffer(base64.b64decode(valid), bool).tolist() == [True, True, *[False] * 4, True, True, True]
    assert np.frombuffer(base64.b64decode(values), np.int32).tolist() == [7, 8, 99, 5, 0, 0, 1, 2, 3]
    assert 'title="padding"' in page  # the table of `_repr_html_`, which treescope embeds as well


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64, jnp.bfloat16, np.complex64])
def test_treescope_renders_all_numbers(dtype):
    x = jm.masked(np.ones((1, 2)).astype(dtype), np.array([[True, False]]))
    assert "Masked" in treescope.render_to_html(x, compressed=False)
    assert "Masked(" in treescope.render_to_text(x, roundtrip_mode=True)


@pytest.mark.parametrize("case", TEXTS)
def test_treescope_renders_all(case):
    x = TEXTS[case][0]()
    assert "Masked(" in treescope.render_to_text(x)
    assert "Masked" in treescope.render_to_html(x, compressed=False)


def test_treescope_cuts_large_arrays_short():
    x = jm.as_masked(np.zeros((1000, 1000), np.float32))
    assert len(treescope.render_to_html(x, compressed=False)) < 1_000_000
