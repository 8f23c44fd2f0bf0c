"""The forward pass: every lane over its steps, block by block.

What does not depend on the state before is done for a block at once, in one large matrix product; the recurrent product
and the gates are done step by step.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from ...core.arithmetic import in_front
from .arrays import at, write, write_all, zeros
from .cells import FusedCell, Weights, dot
from .layout import Block, Dense, Layout, State, for_each_group, restart
from .plan import block_steps


class Saved(NamedTuple):
    """What the backward pass finds besides inputs and outputs.

    Attributes:
        memory: at the beginning of each block, arrays `(slots / steps of a block, units)`.
        gates: of every slot, `(slots, saved * units)`; None if the backward pass shall compute them again.
    """

    memory: State
    gates: Any


class Result(NamedTuple):
    """What a run gives.

    Attributes:
        outputs: `(steps, units)` in the order of the layout, 0 at padded steps.
        memory: after the last step of each row, arrays `(rows, units)`; None if nobody wants it.
        saved: for the backward pass, or None.
    """

    outputs: Any
    memory: State | None
    saved: Saved | None


@dataclasses.dataclass(frozen=True)
class Forward:
    """One run over a batch.

    Attributes:
        cell: the recurrence.
        layout: where the steps stand.
        weights: the parameters.
        inputs: `(steps, features)` in the order of the layout.
        initial: the state before the first step, arrays `(rows, units)`, or None: zeros.
        wants_memory: whether to return the memory after the last step.
        saves: whether a backward pass follows.
        saves_gates: whether it shall find the gates.
    """

    cell: FusedCell
    layout: Layout
    weights: Weights
    inputs: Any
    initial: State | None
    wants_memory: bool = False
    saves: bool = False
    saves_gates: bool = False

    def run(self) -> Result:
        """Runs group after group of lanes."""

        def run_group(group: Any, result: Result) -> Result:
            def run_block(index: Any, carry: Any) -> Any:
                state, result = carry
                block = self.layout.block(group, index)
                new_state, stack = self._block(block, state)
                return new_state, self._collect(result, block, state, stack)

            num_blocks = self.layout.num_blocks(group)
            return lax.fori_loop(0, num_blocks, run_block, (self._first_state(), result))[1]

        return for_each_group(self.layout, run_group, self._empty())

    def _empty(self) -> Result:
        layout, memories = self.layout, self.cell.memories
        saved = None
        if self.saves:
            num_states = layout.slots // block_steps(layout.rows, layout.time) + layout.rows
            gates = self._zeros(layout.slots, self.cell.saved) if self.saves_gates else None
            saved = Saved((self._zeros(num_states),) * memories, gates)
        memory = (self._zeros(layout.rows),) * memories if self.wants_memory else None
        return Result(self._zeros(self.inputs.shape[0]), memory, saved)

    def _first_state(self) -> State:
        if self.initial is not None and isinstance(self.layout, Dense):
            return self.initial
        return (self._zeros(self.layout.width),) * (1 + self.cell.memories)

    def _block(self, block: Block, state: State) -> tuple[State, dict[str, Any]]:
        """The steps of a block; what they give is stacked, `(slots of the block, ...)`."""
        size = self.layout.steps * self.layout.width
        z = project(self.weights, block.take(self.inputs), state[0].dtype)
        z, restarts = z.reshape(self.layout.steps, self.layout.width, -1), block.restarts(self.initial)
        stack: dict[str, Any] = {"outputs": self._zeros(size)}
        if self.wants_memory:
            stack["memory"] = (self._zeros(size),) * self.cell.memories
        if self.saves_gates:
            stack["gates"] = self._zeros(size, self.cell.saved)

        def run_step(step: Any, carry: Any) -> Any:
            state, stack = carry
            h, *memory = restart(restarts, step, state)
            h, memory, gates = self.cell.step(self.weights, shift(self.weights, at(z, step)), h, tuple(memory))
            new = {"outputs": h, "memory": memory, "gates": gates}
            return (h, *memory), write_all(stack, new, step * self.layout.width)

        return lax.fori_loop(0, block.count, run_step, (state, stack))

    def _collect(self, result: Result, block: Block, state: State, stack: dict[str, Any]) -> Result:
        """Puts what a block has given to where it belongs; `state` is that before the block."""
        memory, saved = result.memory, result.saved
        if memory is not None:
            memory = tuple(block.put_last(m, new) for m, new in zip(memory, stack["memory"], strict=True))
        if saved is not None:
            index = block.slot // self.layout.steps
            states = tuple(write(m, new, index) for m, new in zip(saved.memory, state[1:], strict=True))
            saved = Saved(states, write(saved.gates, stack["gates"], block.slot) if self.saves_gates else None)
        return Result(block.put(result.outputs, stack["outputs"]), memory, saved)

    def _zeros(self, size: int, parts: int = 1) -> Any:
        units = self.weights.recurrent_kernel.shape[0]
        dtype = state_dtype(self.weights)
        return zeros((size, parts * units), dtype, (self.inputs, self.weights, self.initial))


def project(weights: Weights, inputs: Any, dtype: Any) -> Any:
    """`x W`, for many steps at once; `shift` adds the bias where a step reads it, which spares a pass over all."""
    return dot(inputs, weights.kernel, dtype)


def shift(weights: Weights, product: Any) -> Any:
    """`x W + b`."""
    return product if weights.bias is None else product + in_front(weights.bias, product.ndim)


def state_dtype(weights: Weights) -> Any:
    """States and sums are float32 at least."""
    return jnp.promote_types(weights.recurrent_kernel.dtype, jnp.float32)
