"""The table of layers in `docs/` is that of the layers."""

import inspect
import runpy
from pathlib import Path

import pytest

import jmask as jm

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "layers.md"


@pytest.mark.slow  # the text of a size differs from version to version
def test_the_table_of_layers_is_that_of_the_layers():
    """`python docs/make_layers.py` writes it anew."""
    written = "\n".join(runpy.run_path(str(DOCS / "make_layers.py"))["lines"]())
    assert PAGE.read_text(encoding="utf-8") == written


def test_every_layer_is_in_the_table():
    public = {name for name, member in vars(jm.layers).items() if inspect.isclass(member) and member is not jm.Layer}
    assert {name for name in public if f"{name}(" not in PAGE.read_text(encoding="utf-8")} == set()
