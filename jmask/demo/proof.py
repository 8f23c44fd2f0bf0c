"""The proof that padding is invisible to a masked model, and that the same model without masks reads it.

Some sentences are run alone, each by itself, without padding and without a mask: this is the truth. Then they are run
side by side in a batch, padded by hand; with more padding, with other words written into the padding, and with NaN
written into the padded word vectors; and in packed rows, as in training. Logits and the gradients of all parameters are
compared, once with masks and once without.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jmask as jm

from ..data import Ragged

TOLERANCE = 1e-5
NUM_LENGTHS = 6
NUM_OF_A_LENGTH = 8
WIDTH = 64  # of a batch: this, or twice this, ..., so that all of a sentence has room


class Batch(NamedTuple):
    """Word and tag numbers under one mask, `(batch, time)`."""

    words: jm.Masked
    tags: jm.Masked


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One way to run the sentences, against running each alone.

    Attributes:
        case: what was done to the padding.
        with_masks: whether the model was given the masks.
        tags_changed: number of words that got another tag; ties within the tolerance do not count.
        logits: largest difference of a logit, relative to the largest logit.
        gradients: largest difference of an entry of a gradient, relative to the entries of the sentences' gradients.
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


class Truth(NamedTuple):
    """What running each sentence alone gives.

    Attributes:
        logits: of all words, `(words, tags)`.
        gradients: of the parameters, summed over the sentences.
        scales: for each parameter, the largest entries of the gradients of the sentences, summed. The sum of the
            gradients may be far smaller than its terms, and is as exact as these.
    """

    logits: np.ndarray
    gradients: list[np.ndarray]
    scales: list[float]


def prove(model: jm.Sequential, params: Any, corpus: Ragged, *, num_words: int) -> Proof:
    """Runs the sentences in every way.

    Args:
        model: the tagger; its first layer turns word numbers into vectors.
        params: its parameters.
        corpus: sentences in numbers, `words` and `tags`; some of them are taken, see `choose`.
        num_words: how many word numbers there are; the garbage in the padding is drawn from them.

    Returns:
        The proof, whether it holds or not.
    """
    chosen = choose(corpus)
    lengths = chosen.lengths["words"]
    time = WIDTH
    while time <= lengths.max():
        time *= 2
    batch = _pad(chosen, time)
    cases = {
        "in a batch": (batch, False),
        "twice the padding": (_pad(chosen, 2 * time), False),
        "other words in it": (_with_garbage(batch, num_words), False),
        "NaN in it": (batch, True),
        "in packed rows": (_pack(chosen, time), False),
    }
    with jax.default_matmul_precision("float32"):
        run = _make_run(model)
        truth = _alone(run, params, chosen)
        comparisons = [
            _compare(case, with_masks, truth, run(params, batch, poisoned, with_masks), batch)
            for case, (batch, poisoned) in cases.items()
            for with_masks in (True, False)
        ]
    return Proof(comparisons, len(chosen), int(lengths.sum()))


def choose(corpus: Ragged) -> Ragged:
    """Sentences of few lengths, because one that runs alone needs a program compiled for its length.

    Args:
        corpus: any sentences.

    Returns:
        Up to `NUM_OF_A_LENGTH` sentences of each of the `NUM_LENGTHS` most frequent lengths, the longest last.
    """
    lengths = corpus.lengths["words"]
    frequent = [length for length, _ in Counter(lengths.tolist()).most_common(NUM_LENGTHS)]
    return corpus[[row for length in sorted(frequent) for row in np.nonzero(lengths == length)[0][:NUM_OF_A_LENGTH]]]


def _pad(corpus: Ragged, time: int) -> Batch:
    """One sentence a row, by hand."""
    words, tags = ([row[name] for row in corpus] for name in ("words", "tags"))
    return Batch(*(jm.pad_sequences(rows, maxlen=time, dtype="int32") for rows in (words, tags)))


def _pack(corpus: Ragged, time: int) -> Batch:
    """Several sentences a row."""
    words, tags = ([row[name] for row in corpus] for name in ("words", "tags"))
    return Batch(*(jm.pack(rows, row_length=time, dtype="int32") for rows in (words, tags)))


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


def _alone(run: Callable[..., Any], params: Any, corpus: Ragged) -> Truth:
    """Runs each sentence by itself, without padding and without a mask."""
    outcomes = [
        run(params, _pad(corpus[[row]], length), False, False)
        for row, length in enumerate(corpus.lengths["words"].tolist())
    ]
    gradients = [[np.asarray(leaf) for leaf in jax.tree.leaves(outcome[1])] for outcome in outcomes]
    return Truth(
        np.concatenate([np.asarray(logits[0]) for logits, _ in outcomes]),
        [np.sum(leaves, axis=0) for leaves in zip(*gradients, strict=True)],
        [sum(float(np.abs(leaf).max()) for leaf in leaves) for leaves in zip(*gradients, strict=True)],
    )


def _compare(case: str, with_masks: bool, truth: Truth, outcome: tuple[Any, Any], batch: Batch) -> Comparison:
    """Measures how far an outcome is from the truth."""
    found = batch.words.with_values(np.asarray(outcome[0]))
    logits = np.concatenate(jm.unpad(found) if found.segment_ids is None else jm.unpack(found))
    scale = float(np.abs(truth.logits).max())
    taken = np.take_along_axis(truth.logits, logits.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    changed = ~np.isfinite(logits).all(axis=-1) | (truth.logits.max(axis=-1) - taken > TOLERANCE * scale)
    leaves = zip(jax.tree.leaves(outcome[1]), truth.gradients, truth.scales, strict=True)
    return Comparison(
        case,
        with_masks,
        tags_changed=int(changed.sum()),
        logits=_distance(logits, truth.logits, scale),
        gradients=float(np.max([_distance(np.asarray(leaf), true, size) for leaf, true, size in leaves])),
    )


def _distance(received: np.ndarray, expected: np.ndarray, scale: float) -> float:
    """The largest difference in units of `scale`; NaN if there is one."""
    return float(np.abs(received - expected).max()) / max(scale, 1e-30)
