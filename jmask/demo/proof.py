"""The proof that padding is invisible to a masked model, and that the same model without masks reads it.

A handful of sentences is run alone, each by itself and without padding: this is the truth. Then they are run side by
side in a batch, with more padding, with other words written into the padding, and with NaN written into the padded
word vectors. Logits and the gradients of all parameters are compared, once with masks and once without.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jmask as jm

from .batches import Batch, Example, pad, padded_time

TOLERANCE = 1e-5
NUM_LENGTHS = 4


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One way to run the sentences, against running each alone.

    Attributes:
        case: what was done to the padding.
        with_masks: whether the model was given the masks.
        tags_changed: number of words that got another tag; ties within the tolerance do not count.
        logits: largest difference of a logit, relative to the largest logit.
        gradients: largest difference of an entry of a gradient, relative to the largest entry of the same parameter.
    """

    case: str
    with_masks: bool
    tags_changed: int
    logits: float
    gradients: float

    @property
    def same(self) -> bool:
        """Whether tags, logits and gradients are those of the sentences alone; NaN never is."""
        return self.tags_changed == 0 and self.logits <= TOLERANCE and self.gradients <= TOLERANCE


@dataclasses.dataclass(frozen=True)
class Proof:
    """All comparisons, and what follows from them.

    Attributes:
        comparisons: with masks and without, in turn.
        num_sentences: number of sentences.
        num_words: number of words in them.
    """

    comparisons: list[Comparison]
    num_sentences: int
    num_words: int

    @property
    def holds(self) -> bool:
        """Whether every run with masks agrees with the truth, and every run without differs from it."""
        return all(comparison.same == comparison.with_masks for comparison in self.comparisons)


def prove(model: jm.Sequential, params: Any, examples: Sequence[Example], *, num_words: int) -> Proof:
    """Runs the sentences in every way.

    Args:
        model: the tagger; its first layer turns word numbers into vectors.
        params: its parameters.
        examples: sentences; some of them are taken, see `choose`.
        num_words: how many word numbers there are; the garbage in the padding is drawn from them.

    Returns:
        The proof, whether it holds or not.
    """
    chosen = choose(examples)
    time = padded_time(len(chosen[-1].words) + 1)
    batch = pad(chosen, time=time)
    cases = {
        "in a batch": (batch, False),
        "twice the padding": (pad(chosen, time=2 * time), False),
        "other words in it": (_with_garbage(batch, num_words), False),
        "NaN in it": (batch, True),
    }
    with jax.default_matmul_precision("float32"):
        run = _make_run(model)
        truth = _alone(run, params, chosen)
        comparisons = [
            _compare(case, with_masks, truth, run(params, batch, poisoned, with_masks), chosen)
            for case, (batch, poisoned) in cases.items()
            for with_masks in (True, False)
        ]
    return Proof(comparisons, len(chosen), sum(len(example.words) for example in chosen))


def choose(examples: Sequence[Example]) -> list[Example]:
    """Examples of few lengths, because a sentence that runs alone needs a program compiled for its length.

    Args:
        examples: any examples.

    Returns:
        All examples of the `NUM_LENGTHS` most frequent lengths, the longest last.
    """
    counts = Counter(len(example.words) for example in examples)
    lengths = {length for length, _ in counts.most_common(NUM_LENGTHS)}
    return sorted((example for example in examples if len(example.words) in lengths), key=lambda e: len(e.words))


def _with_garbage(batch: Batch, num_words: int) -> Batch:
    """The batch with random words in the padding."""
    garbage = np.random.default_rng(0).integers(num_words, size=batch.words.shape, dtype=np.int32)
    return batch._replace(words=batch.words.with_values(batch.words.fill(garbage)))


def _make_run(model: jm.Sequential) -> Callable[..., tuple[Any, Any]]:
    """A function to logits `(batch, time, tags)` and gradients of the summed loss of the real words."""
    embedding, behind = model.layers[0], jm.Sequential(model.layers[1:])

    def logits_of(params: Any, words: jm.Masked, poisoned: Any, with_masks: bool) -> Any:
        read = embedding.apply(params["embedding"], words if with_masks else words.unmasked())
        vectors = jnp.where(poisoned & ~words.mask[..., None], jnp.nan, jm.as_masked(read).values)
        rest = {name: entry for name, entry in params.items() if name != "embedding"}
        return jm.as_masked(behind.apply(rest, words.with_values(vectors) if with_masks else vectors)).values

    def loss(params: Any, batch: Batch, poisoned: Any, with_masks: bool) -> tuple[Any, Any]:
        logits = logits_of(params, batch.words, poisoned, with_masks)
        real = batch.tags.with_values(logits).fill(0)
        losses = optax.softmax_cross_entropy_with_integer_labels(real, batch.tags.fill(0))
        return jnp.sum(losses, where=batch.tags.mask), logits

    def run(params: Any, batch: Batch, poisoned: Any, with_masks: bool) -> tuple[Any, Any]:
        gradients, logits = jax.grad(loss, has_aux=True)(params, batch, poisoned, with_masks)
        return logits, gradients

    return jax.jit(run, static_argnames="with_masks")


def _alone(run: Callable[..., Any], params: Any, examples: Sequence[Example]) -> tuple[list[Any], Any]:
    """Logits of each example by itself, and the sum of the gradients."""
    logits, total = [], None
    for example in examples:
        one, gradients = run(params, pad([example], time=len(example.words)), False, True)
        logits.append(np.asarray(one[0]))
        total = gradients if total is None else jax.tree.map(jnp.add, total, gradients)
    return logits, total


def _compare(
    case: str, with_masks: bool, truth: tuple[list[Any], Any], outcome: tuple[Any, Any], examples: Sequence[Example]
) -> Comparison:
    """Measures how far an outcome is from the truth."""
    expected = np.concatenate(truth[0])
    logits = np.asarray(outcome[0])
    received = np.concatenate([row[: len(example.words)] for row, example in zip(logits, examples, strict=True)])
    pairs = zip(jax.tree.leaves(outcome[1]), jax.tree.leaves(truth[1]), strict=True)
    gradients = [_relative(np.asarray(leaf), np.asarray(true)) for leaf, true in pairs]
    scale = float(np.max(np.abs(expected)))
    best, taken = expected.max(axis=-1), np.take_along_axis(expected, received.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    changed = ~np.isfinite(received).all(axis=-1) | (best - taken > TOLERANCE * scale)
    return Comparison(
        case,
        with_masks,
        tags_changed=int(changed.sum()),
        logits=_relative(received, expected),
        gradients=float(np.max(gradients)),
    )


def _relative(received: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest expected value."""
    return float(np.max(np.abs(received - expected)) / max(float(np.max(np.abs(expected))), 1e-30))
