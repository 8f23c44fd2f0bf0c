"""The page about Keras' `fit`, whose examples need Keras."""

from tests.docs.test_pages import ROOT, test_examples_run_in_order_as_one_program


def test_the_page_runs(keras, fresh):
    test_examples_run_in_order_as_one_program(ROOT / "docs" / "keras_fit.md")
