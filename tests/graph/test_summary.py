"""Tables: what they say, and that they say it in every terminal, pipe and notebook."""

import re
import sys
import warnings
import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp
import pytest
from rich.cells import cell_len

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from tests.support.graphs import EXAMPLES, FEATURES, Mystery, solved


def bidirectional():
    x = jm.Input((None,), "int32", name="ids")
    h = L.Bidirectional(L.LSTM(4, return_sequences=True))(L.Embedding(1000, 8, mask_zero=True)(x))
    return jm.Model(x, L.GlobalAveragePooling1D()(h), name="tagger")


TABLE = """\
Model: tagger
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┓
┃ Layer                                             ┃ Output           ┃ Params ┃ From          ┃ Mask         ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━┩
│ ids                                               │ (batch, time)    │      0 │               │ -            │
│ embedding (Embedding)                             │ (batch, time, 8) │  8,000 │ ids           │ made         │
│ bidirectional (Bidirectional)                     │ (batch, time, 8) │    416 │ embedding     │ used, passed │
│ global_average_pooling1d (GlobalAveragePooling1D) │ (batch, 8)       │      0 │ bidirectional │ used, pooled │
├───────────────────────────────────────────────────┼──────────────────┼────────┼───────────────┼──────────────┤
│ Total                                             │                  │  8,416 │               │              │
└───────────────────────────────────────────────────┴──────────────────┴────────┴───────────────┴──────────────┘"""


def test_the_table_is_as_wide_as_it_needs():
    assert str(jm.summarize(bidirectional())) == TABLE


def test_it_is_printed_whole_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    bidirectional().summary()
    assert capsys.readouterr().out == TABLE + "\n"


WIDTH = len(TABLE.splitlines()[1])


@pytest.mark.parametrize("width", [200, WIDTH, WIDTH - 1, 80, 40, 12, 3])
def test_it_fits_every_terminal(width, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    bidirectional().summary()
    out = capsys.readouterr().out
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()]
    if width >= 12:
        assert max(map(cell_len, lines)) <= width
    if width >= 80:
        assert "\x1b[" in out  # the ways have colours
        assert any("bidirectional (Bidirectional)" in line and "used, passed" in line for line in lines)
        assert any("From" in line for line in lines) == (width >= WIDTH)


def test_a_pipe_that_is_not_unicode_gets_ascii(monkeypatch, tmp_path):
    with open(tmp_path / "out.txt", "w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        bidirectional().summary()
    lines = (tmp_path / "out.txt").read_text(encoding="ascii").splitlines()
    assert lines[-2].startswith("| Total")
    assert len(lines) == len(TABLE.splitlines())


def statistics() -> jm.Model:
    """Running statistics: of a layer that is called twice, of one inside another model, and none of a penalty."""
    x = jm.Input((None, 3), masked=True)
    norm = L.BatchNormalization(center=False, name="norm")
    inner = jm.Sequential([L.BatchNormalization(name="b"), L.ActivityRegularization(l1=0.5)], name="inner")
    return jm.Model(x, L.Dense(2)(norm(inner(norm(x)))), name="statistics")


def test_running_statistics_have_a_column_of_their_own():
    model = statistics()
    summary = jm.summarize(model, expand_nested=True)
    assert [(row.name, row.num_params, row.num_statistics) for row in summary.rows] == [
        ("input", 0, 0),
        ("norm", 3, 6),
        ("inner", 6, 6),
        ("inner/b", 6, 6),
        ("inner/activity_regularization", 0, 0),
        ("norm", 0, 0),
        ("dense", 8, 0),
    ]
    assert summary.num_statistics == 12
    assert re.search(r"│ Total +│ +│ +17 │ +12 │ +│ +│$", str(summary).splitlines()[-2])
    rows = list(ET.fromstring(summary._repr_html_()).iter("tr"))
    assert ["".join(cell.itertext()) for cell in rows[-1]] == ["Total", "", "17", "12", "", ""]
    assert "text-align:right" in rows[-1][3].get("style")


@pytest.mark.parametrize(
    ("layer", "shape", "uses"),
    [
        (L.Softmax(), (None, 4), False),
        (L.Softmax(), (None,), True),  # the last axis is time
        (L.Softmax(2), (None, 4), False),
        (L.Softmax(1), (None, 4), True),
        (L.UnitNormalization(), (None, 4), False),
        (L.UnitNormalization((1, 2)), (None, 4), True),
        (jm.Sequential([L.Softmax()]), (None, 4), False),
        (L.TimeDistributed(L.Softmax(-2)), (None, 4, 5), True),
    ],
    ids=str,
)
def test_masks_are_used_along_masked_axes(layer, shape, uses):
    x = jm.Input(shape, masked=True)
    (_, row) = jm.summarize(jm.Model(x, layer(x))).rows
    assert row.mask_flow == (("used", "passed") if uses else ("passed",))


def test_markup_and_html_in_names_are_text():
    name = "[red]<b>&:smile:"
    summary = jm.summarize(jm.Model(x := jm.Input((2,)), L.Dense(1, name=name)(x), name="[bold]m"))
    assert f"│ {name} (Dense) │" in str(summary)
    assert str(summary).startswith("Model: [bold]m\n")
    assert name in "".join(ET.fromstring(summary._repr_html_()).itertext())


def test_html_for_notebooks():
    root = ET.fromstring(jm.summarize(bidirectional())._repr_html_())
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    assert rows[0] == ["Layer", "Output", "Params", "From", "Mask"]
    assert rows[3] == ["bidirectional (Bidirectional)", "(batch, time, 8)", "416", "embedding", "usedpassed"]
    assert rows[-1] == ["Total", "", "8,416", "", ""]
    pills = [span for span in root.iter("span") if span.get("title")]
    assert len({span.get("style") for span in pills}) == len({span.text for span in pills}) == 4


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_total_is_the_number_of_parameters(name):
    found = solved(name)
    summary = jm.summarize(found.example.model)
    assert summary.num_params == sum(leaf.size for leaf in jax.tree.leaves(found.params))
    assert jm.summarize(found.example.model, expand_nested=True).num_params == summary.num_params
    assert [row.name for row in summary.rows if row.kind != "Input"] == [
        found.graph.names[id(call.layer)] for call in found.graph.calls
    ]


def test_calls_inside_nested_models_are_listed_with_their_paths():
    model = solved("nested").example.model
    summary = jm.summarize(model, expand_nested=True)
    assert [(row.depth, row.name, row.num_params, row.sources, row.mask_flow) for row in summary.rows] == [
        (0, "outside", 0, (), ("given",)),
        (0, "inner", 6, ("outside",), ("passed",)),
        (1, "inner/dense", 6, ("outside",), ("passed",)),
        (1, "inner/add", 0, ("outside", "inner/dense"), ("passed",)),
        (0, "inner", 0, ("inner",), ("passed",)),
        (1, "inner/dense", 0, ("inner",), ("passed",)),
        (1, "inner/add", 0, ("inner", "inner/dense"), ("passed",)),
        (0, "block", 8, ("inner",), ("passed",)),
        (0, "head", 40, ("block",), ("used", "pooled")),
        (1, "head/lstm", 40, ("block",), ("used", "passed")),
        (1, "head/global_average_pooling1d", 0, ("head/lstm",), ("used", "pooled")),
    ]
    assert "│   inner/dense (Dense) " in str(summary)
    assert 'padding-left:1.5em">inner/dense<' in summary._repr_html_()
    assert "inner/dense" not in str(jm.summarize(model))


def test_models_are_nested_in_models_in_models(capsys):
    deep = jm.Sequential([L.Dense(2), jm.Sequential([L.Dense(3), jm.Sequential([L.Dense(4)], name="c")], name="b")])
    deep.summary(jnp.ones((2, 3)), expand_nested=True)
    out = capsys.readouterr().out
    assert re.search(r"│     b/c \(Sequential\) +│ \(batch, 4\)", out) or "    b/c/dense (Dense)" in out
    assert [row.name for row in jm.summarize(deep, jnp.ones((2, 3)), expand_nested=True).rows] == [
        "input",
        "dense",
        "b",
        "b/dense",
        "b/c",
        "b/c/dense",
    ]


def test_the_masks_inside_are_those_of_the_call():
    inner = jm.Model(x := jm.Input((None, FEATURES)), L.LSTM(2)(x), name="inner")
    u, v = jm.Input((None, FEATURES), masked=True), jm.Input((None, FEATURES))
    model = jm.Model([u, v], [inner(u), inner(v), inner(u, mask=jm.NO_MASK), inner(v, mask=u.mask)])
    rows = jm.summarize(model, expand_nested=True).rows
    assert [row.mask_flow for row in rows if row.name == "inner/lstm"] == [
        ("used", "pooled"),
        (),
        (),
        ("used", "pooled"),
    ]
    assert [row.mask_flow for row in rows if row.name == "inner"] == [
        ("used", "pooled"),
        (),
        ("ended",),
        ("used", "pooled"),
    ]


def test_an_example_shows_what_follows_from_it():
    model = jm.Model(x := jm.Input((None, FEATURES)), L.Dense(3)(x))
    assert [row.mask_flow for row in jm.summarize(model).rows] == [(), ()]
    example = jm.from_lengths(jnp.ones((2, 5, FEATURES)), [1, 2])
    assert [row.mask_flow for row in jm.summarize(model, example).rows] == [("given",), ("passed",)]


def test_several_outputs_and_many_sources():
    x = jm.Input((None, 2), name="x")
    parts = [L.Dense(2, name=f"a_long_name_{i}")(x) for i in range(12)]
    outputs, *state = L.LSTM(2, return_sequences=True, return_state=True)(L.Add()(parts))
    text = str(jm.summarize(jm.Model(x, [outputs, *state])))
    assert max(map(len, text.splitlines())) < 130
    assert text.count("(batch, 2) ") == 2


def test_a_dropped_mask_stands_out():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.MaskDroppedWarning)
        model = jm.Model(x := jm.Input((None, 2), masked=True), Mystery()(x))
    summary = jm.summarize(model)
    assert summary.rows[-1].mask_flow == ("dropped",)
    assert "#da3737" in summary._repr_html_()
