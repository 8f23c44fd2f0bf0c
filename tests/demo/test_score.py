"""F1 against a computation by hand, and the lookup baseline."""

import numpy as np
import pytest

import jmask as jm
from jmask.data import Ragged, Vocabulary
from jmask.demo.corpus import Vocabularies
from jmask.demo.score import averaged, majority_tags, score_baselines, score_tags


def test_f1_leaves_out_tag_0_and_padding():
    # true:      0 1 1 0 2 | 1 0      predicted 1 is right twice (of 3), and 1 is there 3 times
    # predicted: 1 1 1 0 0 | 0 2      predicted 2 is right never (of 1), and 2 is there once
    truth = jm.pad_sequences([[0, 1, 1, 0, 2], [1, 0]])
    predicted = truth.with_values(np.array([[1, 1, 1, 0, 0], [0, 2, 1, 1, 2]]))
    sums = score_tags(predicted, truth, 3)
    np.testing.assert_allclose(sums.value, [2 / 3, 0], rtol=1e-6)
    micro = averaged(sums)
    np.testing.assert_allclose([micro.precision, micro.recall], [2 / 4, 2 / 4])
    np.testing.assert_allclose([micro.value, averaged(sums, "macro").value], [2 / 4, 1 / 3], rtol=1e-6)


def test_the_lookup_gives_each_word_its_most_frequent_tag():
    train = Ragged(words=[["if", "if", "only"], ["if", "or"]], tags=[["X", "O", "O"], ["X", "O"]])
    assert majority_tags(train) == {"if": "X", "only": "O", "or": "O"}
    tie = Ragged(words=[["a", "a"]], tags=[["Y", "X"]])
    assert majority_tags(tie) == {"a": "Y"}


def test_the_majority_class_scores_0_and_the_lookup_what_it_gets_right():
    train = Ragged(words=[["if", "or"]], tags=[["X", "O"]])
    held_out = Ragged(words=[["if", "new", "if"]], tags=[["X", "X", "O"]])
    scores = score_baselines(train, held_out, Vocabularies(Vocabulary(("if",)), Vocabulary(("O", "X"))))
    assert float(averaged(scores["always O"]).value_or(0)) == 0
    assert float(averaged(scores["lookup of each word"]).value) == pytest.approx(0.5)
