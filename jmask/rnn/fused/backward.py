"""The backward pass: the lanes from their last steps to their first, block by block.

The outputs are known, and so is the cell state before each step. A block first takes or recomputes the residuals of its
steps; then computes all its partial derivatives at once; then the gradients of its states, step by step, which takes
one product and a few multiplications a step; and finally the gradients of inputs and weights, in large matrix
products. `docs/recurrence.md` has the equations.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ...core.row_sharding import zeros
from .arrays import at, cut, write_all
from .cells import FusedCell, Weights, barrier, matmul
from .forward import ForwardResiduals, add_bias, project, state_dtype
from .layout import Block, FullRows, Layout, State, for_each_group, restart


class Cotangents(NamedTuple):
    """Gradients of a loss with respect to the results of the forward pass.

    Attributes:
        outputs: of the outputs, `(steps, units)` in the order of the layout.
        last: of the state after each row's last step, arrays `(rows, units)`, or None.
    """

    outputs: Any
    last: State | None


class Gradients(NamedTuple):
    """Gradients of a loss with respect to the arguments of the forward pass.

    Attributes:
        inputs: `(steps, features)` in the order of the layout, 0 at padded steps.
        initial: of the initial state, arrays `(rows, units)`, or None.
        weights: of the parameters, as `Weights`; or `Terms`, of which each row's gradients can still be formed.
    """

    inputs: Any
    initial: State | None
    weights: Any


class Terms(NamedTuple):
    """The factors of the weights' gradients, which are sums of products over steps; arrays `(steps, ...)`.

    Attributes:
        projected: the gradient of `x W + b`.
        recurrent: for each product with `U`, its left operand and its gradient.
    """

    projected: Any
    recurrent: list[tuple[Any, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Backward:
    """One run back over a batch: the attributes of `Forward`, its results, and the gradients that come in.

    Attributes:
        cell: the recurrence.
        layout: where the steps are.
        weights: the parameters.
        inputs: `(steps, features)` in the order of the layout.
        initial: the state before the first step, arrays `(rows, units)`, or None: zeros.
        outputs: `(steps, units)` in the order of the layout.
        residuals: what the forward pass has saved.
        cotangents: of the results of the forward pass.
        transposed: the kernels transposed, once and not in the loop.
        by_step: whether to return the factors of the weights' gradients, `Terms`, instead of the gradients.
    """

    cell: FusedCell
    layout: Layout
    weights: Weights
    inputs: Any
    initial: State | None
    outputs: Any
    residuals: ForwardResiduals
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
            if self.initial is not None and isinstance(self.layout, FullRows):
                gradients = gradients._replace(initial=dstate)
            return gradients

        return for_each_group(self.layout, run_group, self._empty())

    def _empty(self) -> Gradients:
        steps = self.inputs.shape[0]
        initial = None if self.initial is None else (self._zeros(self.layout.rows),) * len(self.initial)
        if self.by_step:
            gates_per_product = self.cell.gates_per_product
            terms = [(self._zeros(steps), self._zeros(steps, num_gates)) for num_gates in gates_per_product]
            weights = Terms(self._zeros(steps, sum(gates_per_product)), terms)
        else:
            weights = jax.tree.map(lambda w: self._zeros_of(w.shape), self.weights)
        return Gradients(self._zeros_of(self.inputs.shape), initial, weights)

    def _last_dstate(self) -> State:
        if self.cotangents.last is not None and isinstance(self.layout, FullRows):
            return self.cotangents.last
        return (self._zeros(self.layout.width),) * (1 + self.cell.num_cell_states)

    def _block(self, block: Block, dstate: State, gradients: Gradients) -> tuple[State, Gradients]:
        x = block.take(self.inputs)
        h = block.previous(self.outputs, None if self.initial is None else self.initial[0])
        residuals = self._residuals(block, x, h)
        cell_states = tuple(cut(states, block.slot, h.shape[0]) for states in self.residuals.cell_states)
        partials = self.cell.partials(residuals, h, cell_states)
        dstate, stack = self._steps_back(block, partials, dstate)
        dz, terms = self.cell.gradients(partials, h, stack["weight_terms"])
        dx = block.put(gradients.inputs, matmul(dz, self.transposed.kernel, dz.dtype))
        initial = gradients.initial
        if "restarted" in stack:
            initial = tuple(map(block.add_initial, initial or (), stack["restarted"]))
        collect = self._collect_terms if self.by_step else self._add_products
        return dstate, Gradients(dx, initial, collect(block, gradients.weights, x, dz, terms))

    def _residuals(self, block: Block, x: Any, h: Any) -> Any:
        """The residuals of the steps of the block, saved or recomputed."""
        if self.residuals.step_residuals is not None:
            return cut(self.residuals.step_residuals, block.slot, h.shape[0])
        z = add_bias(self.weights, barrier(project(self.weights, x, h.dtype)))
        return self.cell.recompute(self.weights, z, h)

    def _steps_back(self, block: Block, partials: Any, dstate: State) -> tuple[State, dict[str, Any]]:
        """Gradients of the states of the block, from its last step to its first."""
        steps, width = self.layout.steps, self.layout.width
        size = steps * width
        incoming = (block.take(self.cotangents.outputs),)
        if self.cotangents.last is not None and not isinstance(self.layout, FullRows):
            dh, *dcell = map(block.take_last, self.cotangents.last)
            incoming = (incoming[0] + dh, *dcell)
        by_step = [barrier(value).reshape(steps, width, -1) for value in (*incoming, *partials)]
        incoming, partials = by_step[: len(incoming)], by_step[len(incoming) :]
        restarts = block.restarts(None)
        stack = {"weight_terms": self._zeros(size, self.cell.num_weight_terms)}
        if self.initial is not None and restarts is not None:
            stack["restarted"] = (self._zeros(size),) * len(dstate)

        def run_step(done: Any, carry: Any) -> Any:
            dstate, stack = carry
            step = block.count - 1 - done
            dstate = (*(d + at(new, step) for d, new in zip(dstate, incoming, strict=False)), *dstate[len(incoming) :])
            now = tuple(at(partial, step) for partial in partials)
            dh, dcell, weight_terms = self.cell.step_back(self.transposed, now, dstate[0], dstate[1:])
            new = {"weight_terms": weight_terms, "restarted": (dh, *dcell)}
            return restart(restarts, step, (dh, *dcell)), write_all(stack, new, step * width)

        return lax.fori_loop(0, block.count, run_step, (dstate, stack))

    def _add_products(self, block: Block, total: Weights, x: Any, dz: Any, terms: list[tuple[Any, Any]]) -> Weights:
        """Adds the block's share of the weights' gradients: one large product for each kernel."""
        return jax.tree.map(jnp.add, total, sum_terms(self.weights, x, Terms(dz, terms)))

    def _collect_terms(self, block: Block, total: Terms, x: Any, dz: Any, terms: list[tuple[Any, Any]]) -> Terms:
        """Writes the block's terms to their steps."""
        return Terms(block.put(total.projected, dz), jax.tree.map(block.put, total.recurrent, terms))

    def _zeros(self, size: int, num_arrays: int = 1) -> Any:
        return self._zeros_of((size, num_arrays * self.weights.recurrent_kernel.shape[0]))

    def _zeros_of(self, shape: tuple[int, ...]) -> Any:
        return zeros(shape, state_dtype(self.weights), (self.inputs, self.weights, self.initial, self.cotangents))


def sum_terms(weights: Weights, inputs: Any, terms: Terms) -> Weights:
    """The weights' gradients from inputs and terms, `(..., k)` each."""
    dtype = terms.projected.dtype
    inputs, terms = jax.tree.map(lambda x: x.reshape(-1, x.shape[-1]), (inputs, terms))
    pairs = [(inputs, terms.projected), *terms.recurrent]
    products = [matmul(x.T, d.astype(weights.kernel.dtype), dtype) for x, d in pairs]
    sums = [d.sum(0) for _, d in pairs]
    return Weights(
        products[0],
        None if weights.bias is None else sums[0],
        jnp.concatenate(products[1:], -1),
        None if weights.recurrent_bias is None else jnp.concatenate(sums[1:]),
    )
