"""The backward pass: the lanes from their last steps to their first, block by block.

The outputs are known, and the memory at the beginning of each block. From these a block first gets back what its steps
saved and the memory before each of them, all at once; then its partial derivatives; then the gradients of its states,
step by step, which is one product and a few multiplications a step; and at last the gradients of inputs and weights, in
large matrix products. `docs/recurrence.md` has the equations.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .arrays import at, cut, write, write_all, zeros
from .cells import FusedCell, Weights, dot, fence
from .forward import Saved, project, shift, state_dtype
from .layout import Block, Dense, Layout, State, for_each_group, restart


class Cotangents(NamedTuple):
    """Gradients of a loss by what the forward pass gave.

    Attributes:
        outputs: `(steps, units)` in the order of the layout.
        last: by the state after each row's last step, arrays `(rows, units)`, or None.
    """

    outputs: Any
    last: State | None


class Gradients(NamedTuple):
    """Gradients of a loss by what went into the forward pass.

    Attributes:
        inputs: `(steps, features)` in the order of the layout, 0 at padded steps.
        initial: arrays `(rows, units)`, or None.
        weights: of every parameter; or, if they are to be had for each row, see `Terms`.
    """

    inputs: Any
    initial: State | None
    weights: Any


class Terms(NamedTuple):
    """What the weights' gradients are sums of products of, for every step: `(steps, ...)`.

    Attributes:
        projected: gradient of `x W + b`.
        recurrent: for each part of `U`, what was multiplied with it, and the product's gradient.
    """

    projected: Any
    recurrent: list[tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Backward:
    """One run back over a batch; attributes as of `Forward`, and what it gave.

    Attributes:
        cell: the recurrence.
        layout: where the steps stand.
        weights: the parameters.
        inputs: `(steps, features)`.
        initial: the state before the first step, or None.
        outputs: `(steps, units)`.
        saved: what the forward pass has saved.
        cotangents: what comes in.
        transposed: the kernels transposed, once and not in the loop.
        by_step: whether the weights' gradients are given by their terms, instead of as sums.
    """

    cell: FusedCell
    layout: Layout
    weights: Weights
    inputs: Any
    initial: State | None
    outputs: Any
    saved: Saved
    cotangents: Cotangents
    transposed: Weights
    by_step: bool = False

    def run(self) -> Gradients:
        """Runs group after group of lanes."""

        def run_group(group: Any, gradients: Gradients) -> Gradients:
            num_blocks = self.layout.num_blocks(group)

            def run_block(done: Any, carry: Any) -> Any:
                dstate, gradients = carry
                block = self.layout.block(group, num_blocks - 1 - done)
                return self._block(block, dstate, gradients)

            dstate, gradients = lax.fori_loop(0, num_blocks, run_block, (self._last_dstate(), gradients))
            if self.initial is not None and isinstance(self.layout, Dense):
                gradients = gradients._replace(initial=dstate)
            return gradients

        return for_each_group(self.layout, run_group, self._empty())

    def _empty(self) -> Gradients:
        steps = self.inputs.shape[0]
        initial = None if self.initial is None else (self._zeros(self.layout.rows),) * len(self.initial)
        if self.by_step:
            parts = self.cell.parts
            terms = [(self._zeros(steps), self._zeros(steps, part)) for part in parts]
            weights = Terms(self._zeros(steps, sum(parts)), terms)
        else:
            weights = jax.tree.map(lambda w: self._zeros_of(w.shape), self.weights)
        return Gradients(self._zeros_of(self.inputs.shape), initial, weights)

    def _last_dstate(self) -> State:
        if self.cotangents.last is not None and isinstance(self.layout, Dense):
            return self.cotangents.last
        return (self._zeros(self.layout.width),) * (1 + self.cell.memories)

    def _block(self, block: Block, dstate: State, gradients: Gradients) -> tuple[State, Gradients]:
        x = block.take(self.inputs)
        h = block.previous(self.outputs, None if self.initial is None else self.initial[0])
        gates = self._gates(block, x, h)
        partials = self.cell.partials(gates, h, self._memory(block, gates))
        dstate, stack = self._steps_back(block, partials, dstate)
        dz, terms = self.cell.gradients(partials, h, stack["kept"])
        dx = block.put(gradients.inputs, dot(dz, self.transposed.kernel, dz.dtype))
        initial = gradients.initial
        if "restarted" in stack:
            initial = tuple(map(block.add_initial, initial or (), stack["restarted"]))
        collect = self._collect_terms if self.by_step else self._add_products
        return dstate, Gradients(dx, initial, collect(block, gradients.weights, x, dz, terms))

    def _gates(self, block: Block, x: Any, h: Any) -> Any:
        """What the steps of the block have saved."""
        if self.saved.gates is not None:
            return cut(self.saved.gates, block.slot, h.shape[0])
        z = shift(self.weights, fence(project(self.weights, x, h.dtype)))
        return self.cell.rebuild(self.weights, z, h)

    def _memory(self, block: Block, gates: Any) -> State:
        """The memory before each step of the block, followed from its beginning."""
        if not self.cell.memories:
            return ()
        steps, width = self.layout.steps, self.layout.width
        gates = gates.reshape(steps, width, -1)
        initial = None if self.initial is None else self.initial[1:]
        restarts = block.restarts(initial)

        def run_step(step: Any, carry: Any) -> Any:
            memory, stack = carry
            memory = restart(restarts, step, memory)
            stack = tuple(write(s, m, step * width) for s, m in zip(stack, memory, strict=True))
            return self.cell.remember(at(gates, step), memory), stack

        first = tuple(cut(memory, block.slot // steps, width) for memory in self.saved.memory)
        stack = (self._zeros(steps * width),) * self.cell.memories
        return lax.fori_loop(0, block.count, run_step, (first, stack))[1]

    def _steps_back(self, block: Block, partials: Any, dstate: State) -> tuple[State, dict[str, Any]]:
        """Gradients of the states of the block, from its last step to its first."""
        steps, width = self.layout.steps, self.layout.width
        size = steps * width
        incoming = (block.take_real(self.cotangents.outputs),)
        if self.cotangents.last is not None and not isinstance(self.layout, Dense):
            dh, *dmemory = map(block.take_last, self.cotangents.last)
            incoming = (incoming[0] + dh, *dmemory)
        by_step = [fence(value).reshape(steps, width, -1) for value in (*incoming, *partials)]
        incoming, partials = by_step[: len(incoming)], by_step[len(incoming) :]
        restarts = block.restarts(None)
        stack = {"kept": self._zeros(size, self.cell.kept)}
        if self.initial is not None and restarts is not None:
            stack["restarted"] = (self._zeros(size),) * len(dstate)

        def run_step(done: Any, carry: Any) -> Any:
            dstate, stack = carry
            step = block.count - 1 - done
            dstate = (*(d + at(new, step) for d, new in zip(dstate, incoming, strict=False)), *dstate[len(incoming) :])
            now = tuple(at(partial, step) for partial in partials)
            dh, dmemory, kept = self.cell.step_back(self.transposed, now, dstate[0], dstate[1:])
            new = {"kept": kept, "restarted": (dh, *dmemory)}
            return restart(restarts, step, (dh, *dmemory)), write_all(stack, new, step * width)

        return lax.fori_loop(0, block.count, run_step, (dstate, stack))

    def _add_products(self, block: Block, total: Weights, x: Any, dz: Any, terms: list[tuple[Any, Any]]) -> Weights:
        """Adds the block's share of the weights' gradients: one large product for each kernel."""
        return jax.tree.map(jnp.add, total, sum_terms(self.weights, x, Terms(dz, terms)))

    def _collect_terms(self, block: Block, total: Terms, x: Any, dz: Any, terms: list[tuple[Any, Any]]) -> Terms:
        """Puts the block's terms to their steps."""
        return Terms(block.put(total.projected, dz), jax.tree.map(block.put, total.recurrent, terms))

    def _zeros(self, size: int, parts: int = 1) -> Any:
        return self._zeros_of((size, parts * self.weights.recurrent_kernel.shape[0]))

    def _zeros_of(self, shape: tuple[int, ...]) -> Any:
        return zeros(shape, state_dtype(self.weights), (self.inputs, self.weights, self.initial, self.cotangents))


def sum_terms(weights: Weights, inputs: Any, terms: Terms) -> Weights:
    """The weights' gradients from inputs and terms, `(..., k)` each."""
    dtype = terms.projected.dtype
    inputs, terms = jax.tree.map(lambda x: x.reshape(-1, x.shape[-1]), (inputs, terms))
    pairs = [(inputs, terms.projected), *terms.recurrent]
    products = [dot(x.T, d.astype(weights.kernel.dtype), dtype) for x, d in pairs]
    sums = [d.sum(0) for _, d in pairs]
    return Weights(
        products[0],
        None if weights.bias is None else sums[0],
        jnp.concatenate(products[1:], -1),
        None if weights.recurrent_bias is None else jnp.concatenate(sums[1:]),
    )
