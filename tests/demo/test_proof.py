"""The proof, on models that show what it sees: one that is right, and two that are wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.data import Ragged
from jmask.demo import proof
from jmask.layers.base import BaseMaskedLayer

NUM_WORDS = 11
EXAMPLES = Ragged(
    words=[[7, 0, 1, 2, 3, 4], [8, 0, 1, 2, 3, 4], [9, 1, 10]], tags=[[1, 0, 1, 0, 1, 1], [0, 0, 1, 0, 1, 1], [1, 0, 1]]
)


class RunningSum(BaseMaskedLayer):
    """At each step, the sum of what comes from there on, so that padding on the right would be seen."""

    supports_masking = True

    def call(self, params, inputs):
        return jm.ops.cumsum(inputs, reverse=True)


class CentreOfAll(jm.Layer):
    """Claims that it treats every step alone, and subtracts the mean of all."""

    supports_masking = supports_packing = True

    def call(self, params, inputs):
        return inputs - jnp.mean(inputs, axis=1, keepdims=True)


def prove(*layers, examples=EXAMPLES):
    model = jm.Sequential([jm.layers.Embedding(NUM_WORDS, 2), *layers])
    params = model.init(jax.random.key(0), jnp.zeros((1, 1), "int32"))
    return proof.prove(model, params, examples, num_words=NUM_WORDS)


@pytest.mark.slow
@pytest.mark.parametrize("examples", [EXAMPLES, EXAMPLES[:1]])
def test_the_proof_holds_for_a_model_that_uses_its_mask(examples):
    outcome = prove(RunningSum(), examples=examples)
    assert outcome.holds
    assert [comparison.same for comparison in outcome.comparisons] == [True, False] * 5
    assert outcome.num_words == examples.lengths["words"].sum()
    nan = next(comparison for comparison in outcome.comparisons[1::2] if "NaN" in comparison.case)
    assert np.isnan([nan.logits, nan.gradients]).all()
    assert nan.tags_changed == outcome.num_words


def test_the_proof_fails_for_a_model_that_reads_its_padding():
    outcome = prove(CentreOfAll())
    assert not outcome.holds
    assert not any(comparison.same for comparison in outcome.comparisons)


def test_the_proof_fails_for_a_model_that_no_padding_can_harm():
    outcome = prove(jm.layers.Activation("tanh"))
    assert not outcome.holds
    assert all(comparison.same for comparison in outcome.comparisons)


def test_the_proof_takes_sentences_of_few_lengths():
    lengths = [*range(20, 40), 7, 7, 9, 9, 9, 5, 5, 2, 2]
    rows = [[0] * length for length in lengths]
    chosen = proof.choose(Ragged(words=rows, tags=rows))
    assert chosen.lengths["words"].tolist() == [2, 2, 5, 5, 7, 7, 9, 9, 9, 20, 21]
