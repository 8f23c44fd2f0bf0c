"""What `help` shows of ops, losses and metrics: short signatures, and every argument by itself."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
import pytest
from jaxtyping import Array, ArrayLike, Float

import jmask as jm
from jmask.core.signatures import shorten_signatures, shown

AnyArray = Array | np.ndarray
ROOMS = (jm.ops, jm.losses, jm.metrics)
FUNCTIONS = [f for room in ROOMS for name in dir(room) if inspect.isfunction(f := getattr(room, name))]
EVERY = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f"{f.__module__}.{f.__name__}")


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (None, "None"),
        (int | None, "int | None"),
        (jm.Masked | Float[AnyArray, "... features"], "Masked | Float[Array, '... features']"),
        (jm.Masked | ArrayLike | None, "Masked | ArrayLike | None"),
        (None | jax.Array | Float[AnyArray, " units"], "Array | Float[Array, 'units'] | None"),
        (tuple[jm.Masked, ...], "tuple[Masked, ...]"),
        (Sequence[jm.Masked | ArrayLike], "Sequence[Masked | ArrayLike]"),
        (Callable[[np.ndarray], bool], "Callable[[ndarray], bool]"),
        (Literal["sum", "mean"], "Literal['sum', 'mean']"),
        (Any, "Any"),
    ],
)
def test_annotations_are_shown_in_short(annotation, text):
    assert shown(annotation) == text


def test_signatures_are_shortened_and_annotations_stay():
    def function(x: jm.Masked | ArrayLike, *, axis: int = 0) -> jm.Masked: ...

    annotations = dict(function.__annotations__)
    for _ in range(2):  # the second time changes nothing
        shorten_signatures({"function": function, "other": 3})
        assert str(inspect.signature(function)) == "(x: Masked | ArrayLike, *, axis: int = 0) -> Masked"
    assert function.__annotations__ == annotations


@EVERY
def test_no_signature_shows_the_path_of_a_class(function):
    assert not re.search(r"jax\.|numpy\.|jmask\.|jaxtyping\.|ndarray", str(inspect.signature(function)))


@EVERY
def test_docstrings_say_what_every_argument_is(function):
    lines = inspect.getdoc(function).splitlines()
    for name, parameter in inspect.signature(function).parameters.items():
        stars = {parameter.VAR_KEYWORD: r"\*\*", parameter.VAR_POSITIONAL: r"\*"}.get(parameter.kind, "")
        assert sum(bool(re.match(rf"    {stars}{name}: \S", line)) for line in lines) == 1, name
    assert not any("**options: `sample_weight`" in line for line in lines)
