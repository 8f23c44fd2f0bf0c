"""The `Layer` protocol: hyperparameters in a frozen dataclass, a pure call, and a rule for the mask."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal, dataclass_transform

import jax

from ..core.masked import mask_of
from . import layer_state, path
from .arguments import is_none
from .call import apply_named, init_state, masks_of_outputs
from .config import to_config
from .errors import with_explained_lists
from .fields import check_fields, checked_fields, fields_in_order, without_marks
from .initialize import init_sublayers
from .symbolic import symbolic_call


class _Signature:
    """The signature that `help` shows for a layer: its own options before inherited ones, `name` at the end."""

    def __get__(self, layer: Any, cls: type) -> inspect.Signature:
        if layer is not None:
            raise AttributeError("__signature__")
        parameters = inspect.signature(cls.__init__).parameters
        shown = (parameters[field.name] for field in fields_in_order(cls) if field.init)
        return inspect.Signature([p.replace(annotation=without_marks(p.annotation)) for p in shown])


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Layer:
    """A layer: a frozen dataclass whose fields are hyperparameters, and pure functions of `(params, inputs)`.

    A subclass automatically becomes a frozen dataclass. It declares its fields and defines:

    - `call(self, params, inputs, ...)`: the values of the outputs. It receives plain arrays with zeros at padded
      positions, and asks for anything else it needs by name: `mask` is the mask of the first input (None if it has
      none; for a list or dict of inputs, a list or dict of masks), `context_mask` that of the input `context`,
      `training` a bool, `key` a PRNG key, `state` the layer's running statistics; with `state`, `call` returns a pair:
      outputs and new state. If parameters are combined with a function that is infinite at 0, replace the padding
      first: `params["w"] * jnp.log(jnp.where(mask[..., None], inputs, 1))`.
    - `init(self, key, *inputs)`: the parameters, a nested dict. A layer without parameters does not need it, nor does
      one that has layers in its fields and calls them as `self.lstm.apply(params["lstm"], x)`.
    - `init_state(self, *inputs)`: the initial state, for a `call` that takes `state` (see `apply_with_state`). With
      `resets_state = True` every call of `apply_with_state` starts from it, for state that belongs to a single call:
      a penalty (`{"penalty": ...}`, see `jm.losses.penalties`). Outside training such a layer also runs without state.
    - a rule for the mask. By default the mask is dropped, with a warning (a mask of rows, `(batch,)`, as pooling
      returns it, is kept if `call` provably treats every row independently). `supports_masking = True`: every step is
      treated independently, so outputs have the masks of the inputs. `supports_masking = "auto"`: the same where that
      can be proved (see `jm.explain`). `compute_mask`: the layer computes the masks of its outputs.

    With `raw_inputs = True` the inputs are passed unchanged, `Masked` or arrays, and `call` returns `Masked` itself. A
    layer made of layers needs this, since its layers see no mask in a plain array; or it passes the mask on explicitly,
    `self.lstm.apply(params["lstm"], x, mask=mask)`. Any `call` may return `Masked` for some of its outputs.

    Packed rows, in which several sequences share a row, are given a row for each sequence first, as long as theirs, if
    `num_sequences` is known, and raise an error otherwise; outputs with the mask of an input are packed again, others
    are batches of the sequences. `supports_packing = True` declares that the layer keeps the sequences of a row apart
    itself, which costs less: because it treats every step independently, or because it takes raw inputs and respects
    `inputs.segment_ids`. Outputs that have the mask of an input also have its segment ids. A `compute_mask` may remove
    steps from packed rows; a layer that moves steps needs `raw_inputs`, and one that passes masks on explicitly loses
    the segment ids.

    Two calls share parameters if they are calls of the same object: identity decides, not equality.

    Attributes:
        name: the name of the layer in `params` and in messages; by default its class in snake case.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> class Scale(jm.Layer):
    ...     supports_masking = True
    ...     start: float = 1.0
    ...     def init(self, key, inputs):
    ...         return {"scale": jnp.full(inputs.shape[-1], self.start)}
    ...     def call(self, params, inputs):
    ...         return params["scale"] * inputs
    >>> layer, x = Scale(2.0), jm.from_lengths(jnp.ones((2, 3, 1)), [3, 1])
    >>> y = layer.apply(layer.init(jax.random.key(0), x), x)
    >>> y.fill(0)[..., 0].tolist()
    [[2.0, 2.0, 2.0], [2.0, 0.0, 0.0]]
    """

    supports_masking: ClassVar[bool | Literal["auto"]] = False
    supports_packing: ClassVar[bool] = False
    raw_inputs: ClassVar[bool] = False
    resets_state: ClassVar[bool] = False
    _uses_mask: ClassVar[Any] = None
    _checked_fields: ClassVar[tuple[tuple[str, Any], ...]] = ()

    __signature__ = _Signature()

    name: str | None = dataclasses.field(default=None, kw_only=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Makes the subclass a frozen dataclass."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            raise TypeError(
                f"`{cls.__name__}` defines `__init__`. A layer is a frozen dataclass: declare its hyperparameters as "
                "fields (`units: int`), and make its parameters in `init(self, key, *inputs)`."
            )
        if list(inspect.signature(cls.call).parameters)[1:2] in (["inputs"], ["x"]):
            raise TypeError(
                f"`call` of `{cls.__name__}` receives the parameters before its inputs, `{{}}` if it has none: write "
                "`call(self, params, inputs)`."
            )
        if cls.raw_inputs and cls.compute_mask is not Layer.compute_mask:
            raise TypeError(
                f"`compute_mask` of `{cls.__name__}` would never be asked: with `raw_inputs = True` its `call` "
                "answers for the masks itself, by returning `Masked`. Define one of the two."
            )
        if "previous_mask" in inspect.signature(cls.compute_mask).parameters:
            raise TypeError(
                f"`compute_mask` of `{cls.__name__}` asks for `previous_mask`; in jmask the mask of the first input is "
                "called `mask`: `compute_mask(self, inputs, mask)`."
            )
        if "init" in vars(cls):
            cls.init = with_explained_lists(cls.init)
        if "__post_init__" in vars(cls):
            cls.__post_init__ = _after_the_fields(cls.__post_init__)  # pyright: ignore[reportAttributeAccessIssue] - a method
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        cls._checked_fields = checked_fields(cls)

    def __post_init__(self) -> None:
        """Validates the hyperparameters."""
        check_fields(self, type(self)._checked_fields)
        if self.name is not None and (not self.name or "/" in self.name):
            raise ValueError(
                f"`name` of `{type(self).__name__}` is a word without '/', which separates the names in a path; "
                f"received {self.name!r}."
            )

    def init(self, key: Any, *inputs: Any, **_: Any) -> Any:
        """Makes the parameters.

        Args:
            key: a PRNG key.
            *inputs: the inputs of `call`, as arrays, `Masked` or `jax.ShapeDtypeStruct`.

        Returns:
            A nested dict of arrays; by default, the parameters of the sub-layers that `call` reaches, `{}` if none.
        """
        if not sublayers(self):
            return {}
        return init_sublayers(self.apply, key, inputs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """`call(self, params, inputs, ...)`: the outputs from the values of the inputs; every layer defines its own."""
        raise TypeError(f"`{type(self).__name__}` has no `call(self, params, inputs)`.")

    @property
    def default_name(self) -> str:
        """The name of a layer without an explicit one: its class in snake case."""
        return path.snake_case(type(self).__name__)

    @property
    def _keeps_sequences_apart(self) -> bool:
        """Whether packed rows reach the layer as they are."""
        return self.supports_packing

    @property
    def _is_composite(self) -> bool:
        """Whether the layer has layers in its fields."""
        return bool(sublayers(self))

    @property
    def changes_mask(self) -> bool:
        """Whether `compute_mask` computes the masks of the outputs."""
        return type(self).compute_mask is not Layer.compute_mask

    def compute_mask(self, *args: Any, **kwargs: Any) -> Any:
        """`compute_mask(self, inputs, mask=None)`: the masks of the outputs, from values and masks of the inputs.

        Args:
            *args: the values of the inputs, and their mask or None.
            **kwargs: the same by name.

        Returns:
            One mask or None for each output; by default, `mask` if the layer treats every step independently; with
            `raw_inputs`, the masks that `apply` gives its outputs; otherwise None.
        """
        inputs = kwargs.get("inputs", args[0] if args else None)
        mask = kwargs.get("mask", args[1] if len(args) > 1 else None)
        if self.raw_inputs or self.supports_masking == "auto":
            return masks_of_outputs(self, inputs, mask)
        mask = mask_of(inputs) if mask is None else mask
        return mask if self.supports_masking else None

    def apply(
        self, params: Any, *inputs: Any, mask: Any = None, training: bool = False, key: Any = None, **named: Any
    ) -> Any:
        """Calls the layer on `Masked` or arrays.

        Args:
            params: the result of `init`.
            *inputs: the inputs of `call`.
            mask: overrides the mask of the first input; `jm.NO_MASK` removes it.
            training: passed to `call` if it takes it.
            key: a PRNG key, passed to `call` if it takes one.
            **named: inputs of `call` by name, and masks by name (`context_mask=`).

        Returns:
            The outputs: a `Masked` where there is a mask, an array where there is none.

        Raises:
            TypeError: `call` does not have these arguments.
            ValueError: a mask does not fit, or the layer does not support packed rows.
        """
        return apply_named(self, self.name or self.default_name, params, inputs, named, mask, training, key)

    def init_state(self, *inputs: Any, **_: Any) -> Any:
        """Makes the initial state: running statistics, such as those of `jm.layers.BatchNormalization`, and penalties.

        Args:
            *inputs: the inputs of `call`, as arrays, `Masked` or `jax.ShapeDtypeStruct`.

        Returns:
            Nested dicts of arrays, by layer name; `{}` if no layer has any.
        """
        return init_state(self, inputs)

    def apply_with_state(
        self,
        params: Any,
        state: Any,
        *inputs: Any,
        mask: Any = None,
        training: bool = False,
        key: Any = None,
        **named: Any,
    ) -> tuple[Any, Any]:
        """`apply` for layers with state: running statistics or penalties.

        Args:
            params: the result of `init`.
            state: the result of `init_state`, or of an earlier call.
            *inputs: the inputs of `call`.
            mask: as for `apply`.
            training: as for `apply`.
            key: as for `apply`.
            **named: as for `apply`.

        Returns:
            The outputs, and the state after the call: running statistics change only in training; penalties are those
            of this call.

        Raises:
            ValueError: the state of a layer is missing; otherwise as for `apply`.
        """
        name = self.name or self.default_name
        with path.scope(name, self), layer_state.running(state) as states:
            outputs = apply_named(self, name, params, inputs, named, mask, training, key)
        return outputs, states.known

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """On symbolic nodes: adds the layer to a graph. On arrays, for a layer without parameters: applies it."""
        for leaf in jax.tree.leaves((inputs, named), is_leaf=is_none):
            call = symbolic_call(leaf)
            if call is not None:
                return call(self, inputs, named)
        if type(self).init is not Layer.init or sublayers(self):
            raise TypeError(
                f"`{type(self).__name__}` has parameters: make them with `params = layer.init(key, x)` and call "
                "`layer.apply(params, x)`; `layer(x)` is for symbolic nodes and for layers without parameters."
            )
        return self.apply({}, *inputs, **named)

    def to_config(self) -> dict[str, Any]:
        """The layer as JSON-able data, `jm.to_config(layer)`; `jm.from_config` restores it."""
        return to_config(self)

    def __repr__(self) -> str:
        shown = (f.name for f in fields_in_order(type(self)) if f.repr and not _is_default(self, f))
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def sublayers(layer: Layer) -> list[Layer]:
    """The layers in the fields of a layer, nests included, in order."""
    values = [getattr(layer, field.name) for field in dataclasses.fields(layer)]
    return [leaf for leaf in jax.tree.leaves(values) if isinstance(leaf, Layer)]


def _after_the_fields(post_init: Callable[[Any], None]) -> Callable[[Any], None]:
    """A layer's own `__post_init__`, run after the fields have been checked against their annotations."""

    @functools.wraps(post_init)
    def checked(self: Any) -> None:
        Layer.__post_init__(self)
        try:
            post_init(self)
        except (TypeError, ValueError) as error:
            name, text = type(self).__name__, str(error)
            if name in text or type(error) not in (TypeError, ValueError):
                raise
            raise type(error)(f"`{name}`: {text}") from None

    return checked


def _is_default(layer: Layer, field: dataclasses.Field) -> bool:
    value = getattr(layer, field.name)
    return value is field.default or (isinstance(value, (int, float, str)) and value == field.default)
