"""The page about Keras' `fit`, whose examples need Keras."""

from tests.docs import test_pages


def test_the_page_runs(keras, fresh, monkeypatch):
    test_pages.test_examples_run_in_order_as_one_program(test_pages.ROOT / "docs" / "keras_fit.md", monkeypatch)
