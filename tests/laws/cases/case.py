"""A row of the table, and how rows for functions and for layers are written."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

import jmask as jm
from tests.support.batches import Vector, floats

ONE_A_ROW = "an initial state is one a row"  # why packed rows refuse it

Kind = Literal["sequence", "pooled", "array", "batch"]


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name: the public name that it covers, and in brackets what is special.
        run: `run(params, *inputs)`.
        oracle: `oracle(params, *rows)` for one row of each input, in NumPy and float64; for a result over the whole
            batch, for the list of rows of each input. None: the case is compared with itself, padded on the right.
        inputs: what `run` takes.
        params: gives the shapes of the parameters.
        output: what each leaf of the result is: a sequence under a mask, one value a row under a mask of rows
            ("pooled"), one value a row in an array, or one value a batch.
        overlapping: the inputs are not all real at the same steps.
        any_rank: `run` names no axis before the features, so that masks of rank 3 (documents of sentences) and 1 (one
            sequence `(time, features)`) work, too.
        has_rows_alone: with `any_rank`: values under a mask of rank 1 are no sequence but a batch of rows, each real or
            not as a whole.
        zero_padding: outputs are documented to be 0 at padded steps.
        refuses_packed: why packed rows raise; "" if each of their sequences is treated as if alone.
        skips: law -> reason.
    """

    name: str
    run: Callable[..., Any]
    oracle: Callable[..., Any] | None
    inputs: tuple[Any, ...] = (floats(3),)
    params: Callable[[], Any] = dict
    output: Kind | tuple[Kind, ...] = "sequence"
    overlapping: bool = False
    any_rank: bool = False
    has_rows_alone: bool = False
    zero_padding: bool = False
    refuses_packed: str = ""
    skips: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def covers(self) -> str:
        return self.name.partition("(")[0]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return (self.output,) if isinstance(self.output, str) else self.output

    @property
    def has_floats(self) -> bool:
        """Whether the dtype of the parameters or of an input can be another one."""
        is_float = (isinstance(spec, Vector) or spec.maximum is None for spec in self.inputs)
        return any(is_float) or bool(jax.tree.leaves(self.params()))

    def __str__(self) -> str:
        return self.name


def case(name: str, run: Callable, oracle: Callable | None, *inputs: Any, params: Any = None, **options: Any) -> Case:
    """A row for a function; one input of three features unless others are given, parameters by their shapes."""
    shapes = {key: jax.ShapeDtypeStruct(shape, "float32") for key, shape in (params or {}).items()}
    return Case(name, run, oracle, inputs or (floats(3),), lambda: shapes, **options)


def layer_case(
    layer: jm.Layer,
    note: str,
    oracle: Callable | None,
    *inputs: Any,
    arrange: Any = None,
    seed: Any = None,
    **options: Any,
) -> Case:
    """A row for a layer.

    Args:
        layer: the layer.
        note: what is special, or "".
        oracle: takes the layer's parameters.
        *inputs: one input of three features unless others are given.
        arrange: makes the positional arguments of the layer's `call` from the inputs.
        seed: if given, the layer runs in training, with a key of this seed.
        **options: those of `Case`.
    """
    inputs, arrange = inputs or (floats(3),), arrange or (lambda *xs: xs)

    def run(params: Any, *xs: Any) -> Any:
        training = {} if seed is None else {"training": True, "key": jax.random.key(seed)}
        return layer.apply(params, *arrange(*xs), **training)

    def params() -> Any:
        specs = arrange(*map(_abstract, inputs))
        return jax.eval_shape(lambda key: layer.init(key, *specs), jax.random.key(0))

    room = "layers." if hasattr(jm.layers, type(layer).__name__) else ""
    name = f"{room}{type(layer).__name__}" + (f"({note})" if note else "")
    return Case(name, run, oracle, inputs, params, **options)


def every_third_step(x: Any) -> jm.Masked:
    """Each third step of every sequence is real: labels with padding of their own."""
    x = jm.as_masked(x)
    stays = x.mask & (x.positions % 3 == 0)
    if x.segment_ids is None:
        return jm.masked(x.values, stays)
    return jm.from_segment_ids(x.values, jnp.where(stays, x.segment_ids, 0), num_sequences=x.num_sequences)


def _abstract(spec: Any) -> jax.ShapeDtypeStruct:
    if isinstance(spec, Vector):
        return jax.ShapeDtypeStruct((2, *spec.shape), "float32")
    return jax.ShapeDtypeStruct((2, 3, *spec.features), "float32" if spec.maximum is None else "int32")
