"""The forward pass: every lane over its steps, block by block.

The projection of the inputs does not depend on the state, so it is done for a whole block in one large matrix product;
the recurrent product and the gates are computed step by step.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from ...core.arithmetic import in_front
from ...core.row_sharding import zeros
from .arrays import at, write_all, write_slice
from .cells import FusedCell, Weights, matmul
from .layout import Block, FullRows, Layout, State, for_each_group, restart


class ForwardResiduals(NamedTuple):
    """What the forward pass saves for the backward pass, in addition to inputs and outputs.

    Attributes:
        cell_states: before the step of every slot, arrays `(slots, units)`.
        step_residuals: of every slot, `(slots, num_residuals * units)`; None if the backward pass recomputes them.
    """

    cell_states: State
    step_residuals: Any


class Result(NamedTuple):
    """What a run returns.

    Attributes:
        outputs: `(steps, units)` in the order of the layout, 0 at padded steps.
        cell_state: after the last step of each row, arrays `(rows, units)`, or None if it is not wanted.
        residuals: for the backward pass, or None.
    """

    outputs: Any
    cell_state: State | None
    residuals: ForwardResiduals | None


@dataclasses.dataclass(frozen=True, eq=False)
class Forward:
    """One run over a batch.

    Attributes:
        cell: the recurrence.
        layout: where the steps are.
        weights: the parameters.
        inputs: `(steps, features)` in the order of the layout.
        initial: the state before the first step, arrays `(rows, units)`, or None: zeros.
        wants_cell_state: whether to return the cell state after the last step of each row.
        saves: whether to save residuals, because a backward pass follows.
        saves_step_residuals: whether these include the residuals of every step.
    """

    cell: FusedCell
    layout: Layout
    weights: Weights
    inputs: Any
    initial: State | None
    wants_cell_state: bool = False
    saves: bool = False
    saves_step_residuals: bool = False

    def run(self) -> Result:
        """Runs group after group of lanes."""

        def run_group(group: Any, result: Result) -> Result:
            def run_block(index: Any, carry: Any) -> Any:
                state, result = carry
                block = self.layout.block(group, index)
                state, stack, residuals = self._block(block, state, result.residuals)
                return state, self._collect(result, block, stack, residuals)

            num_blocks = self.layout.num_blocks(group)
            return lax.fori_loop(0, num_blocks, run_block, (self._first_state(), result))[1]

        return for_each_group(self.layout, run_group, self._empty())

    def _empty(self) -> Result:
        layout, num_cell_states = self.layout, self.cell.num_cell_states
        residuals = None
        if self.saves:
            by_step = self._zeros(layout.slots, self.cell.num_residuals) if self.saves_step_residuals else None
            residuals = ForwardResiduals((self._zeros(layout.slots),) * num_cell_states, by_step)
        cell_state = (self._zeros(layout.rows),) * num_cell_states if self.wants_cell_state else None
        return Result(self._zeros(self.inputs.shape[0]), cell_state, residuals)

    def _first_state(self) -> State:
        if self.initial is not None and isinstance(self.layout, FullRows):
            return self.initial
        return (self._zeros(self.layout.width),) * (1 + self.cell.num_cell_states)

    def _block(self, block: Block, state: State, residuals: ForwardResiduals | None) -> tuple[State, dict, Any]:
        """The state after a block; the results of its steps, stacked: `(slots of the block, ...)`; and residuals."""
        width, size = self.layout.width, self.layout.steps * self.layout.width
        z = project(self.weights, block.take(self.inputs), state[0].dtype)
        z, restarts = z.reshape(self.layout.steps, width, -1), block.restarts(self.initial)
        stack: dict[str, Any] = {"outputs": self._zeros(size)}
        if self.wants_cell_state:
            stack["cell_state"] = (self._zeros(size),) * self.cell.num_cell_states

        def run_step(step: Any, carry: Any) -> Any:
            state, stack, residuals = carry
            h, *before = restart(restarts, step, state)
            z_step = add_bias(self.weights, at(z, step))
            h, cell_state, by_step = self.cell.step(self.weights, z_step, h, tuple(before))
            if residuals is not None:
                residuals = _saved(residuals, ForwardResiduals(tuple(before), by_step), block.slot + step * width)
            stack = write_all(stack, {"outputs": h, "cell_state": cell_state}, step * width)
            return (h, *cell_state), stack, residuals

        return lax.fori_loop(0, block.count, run_step, (state, stack, residuals))

    def _collect(self, result: Result, block: Block, stack: dict[str, Any], residuals: Any) -> Result:
        """Writes the results of a block to where they belong."""
        cell_state = result.cell_state
        if cell_state is not None:
            cell_state = tuple(map(block.put_last, cell_state, stack["cell_state"]))
        return Result(block.put(result.outputs, stack["outputs"]), cell_state, residuals)

    def _zeros(self, size: int, num_arrays: int = 1) -> Any:
        units = self.weights.recurrent_kernel.shape[0]
        dtype = state_dtype(self.weights)
        return zeros((size, num_arrays * units), dtype, (self.inputs, self.weights, self.initial))


def _saved(residuals: ForwardResiduals, new: ForwardResiduals, slot: Any) -> ForwardResiduals:
    """With those of the steps that run side by side from a slot on."""
    by_step = residuals.step_residuals
    return ForwardResiduals(
        tuple(write_slice(old, c, slot) for old, c in zip(residuals.cell_states, new.cell_states, strict=True)),
        None if by_step is None else write_slice(by_step, new.step_residuals, slot),
    )


def project(weights: Weights, inputs: Any, dtype: Any) -> Any:
    """`x W`, for many steps at once; `add_bias` adds `b` where a step reads it, which saves a pass over the data."""
    return matmul(inputs, weights.kernel, dtype)


def add_bias(weights: Weights, product: Any) -> Any:
    """`x W + b`."""
    return product if weights.bias is None else product + in_front(weights.bias, product.ndim)


def state_dtype(weights: Weights) -> Any:
    """The dtype of states and sums: float32 at least."""
    return jnp.promote_types(weights.recurrent_kernel.dtype, jnp.float32)
