"""What a row of the table of layers is: a layer that both libraries have, its inputs, and what Keras makes of masks."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.support.batches import Vector, floats, ids, place

# Where the steps of the three sequences stand: on the right, on the left, with holes. Only two lengths: each compiles.
STEPS = np.array([[1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1], [1, 0, 1, 1, 1, 0, 1]], bool)
KEYS = np.array([[0, 0, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 1, 1]], bool)
BATCH = len(STEPS)
FLOATS, IDS = (0.5, np.nan), (1, 0)  # which stand at padded positions; ids that Keras can look up


@dataclasses.dataclass(frozen=True)
class Of:
    """A layer of either library: its name, and what it is made with, in which there may be others."""

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]

    def build(self, module: Any) -> Any:
        args = [_built(module, value) for value in self.args]
        return getattr(module, self.name)(*args, **{key: _built(module, v) for key, v in self.options.items()})

    def __repr__(self) -> str:
        shown = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.options.items())]
        return f"{self.name}({', '.join(shown)})"


def of(name: str, /, *args: Any, **options: Any) -> Of:
    return Of(name, args, options)


def _built(module: Any, value: Any) -> Any:
    if isinstance(value, list):
        return [_built(module, item) for item in value]
    return value.build(module) if isinstance(value, Of) else value


@dataclasses.dataclass(frozen=True)
class Input:
    """An input: what a step of it is, and where its steps stand, None for one without time."""

    spec: Any
    layout: np.ndarray | None = None

    def draw(self, rng: np.random.Generator) -> list[np.ndarray]:
        """One row for each sequence, without padding."""
        lengths = np.zeros(BATCH, int) if self.layout is None else self.layout.sum(1)
        rows = [self.spec.draw(rng, n) for n in lengths]
        return [row.astype("float32") if row.dtype == float else row for row in rows]

    def batch(self, rows: list[np.ndarray], *, garbage: int) -> Any:
        if self.layout is None:
            return np.stack(rows)
        return place(self.spec, rows, self.layout, (FLOATS if self.spec.maximum is None else IDS)[garbage])

    def symbol(self, keras: Any) -> Any:
        """A symbolic input of Keras, of any batch and time."""
        if isinstance(self.spec, Vector):
            return keras.Input(self.spec.shape)
        return keras.Input((None, *self.spec.features), dtype="float32" if self.spec.maximum is None else "int32")


def steps(*features: int) -> Input:
    return Input(floats(*features), STEPS)


def keys(*features: int) -> Input:
    return Input(floats(*features), KEYS)


def vector(*features: int) -> Input:
    return Input(Vector(features))


def words(maximum: int) -> Input:
    return Input(ids(maximum), STEPS)


@dataclasses.dataclass(frozen=True)
class Pair:
    """One row of the table.

    Attributes:
        layer: the layer of both.
        inputs: what it is called on.
        masked: whether Keras, given the masks, gives what it gives for each row alone; "values" if that is true of the
            values and not of the mask of the outputs.
        arrange: from inputs to arguments by position and by name.
        ours: options of jmask's layer besides.
        theirs: options of Keras' layer besides.
        call: options that Keras takes when the layer is called.
    """

    layer: Of
    inputs: tuple[Input, ...] = (steps(3),)
    masked: bool | str = False
    arrange: Callable[..., tuple[list[Any], dict[str, Any]]] = lambda *xs: (list(xs), {})
    ours: dict[str, Any] = dataclasses.field(default_factory=dict)
    theirs: dict[str, Any] = dataclasses.field(default_factory=dict)
    call: dict[str, Any] = dataclasses.field(default_factory=dict)

    def of_jmask(self, module: Any) -> Any:
        return dataclasses.replace(self.layer, options={**self.layer.options, **self.ours}).build(module)

    def of_keras(self, module: Any) -> Any:
        return dataclasses.replace(self.layer, options={**self.layer.options, **self.theirs}).build(module)

    def __str__(self) -> str:
        shown = dataclasses.replace(self.layer, options={**self.layer.options, **self.ours})
        return str(shown) + (" with a state" if self.arrange is with_state else "")


def pair(layer: Of, *inputs: Input, **options: Any) -> Pair:
    """A row; one input of three features unless others are given."""
    return Pair(layer, inputs or (steps(3),), **options)


def as_list(*xs: Any) -> tuple[list[Any], dict[str, Any]]:
    return [list(xs)], {}


def with_state(x: Any, *state: Any) -> tuple[list[Any], dict[str, Any]]:
    return [x], {"initial_state": list(state)}
