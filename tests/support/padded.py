"""Padding by hand: the oracle of what pads."""

import numpy as np


def padded_by_hand(sequences, *, maxlen=None, padding="post", truncating="post", value=0, multiple=None):
    """Rows and their mask as nested lists: the oracle, which knows neither NumPy nor jmask."""
    width = max(map(len, sequences), default=0) if maxlen is None else maxlen
    rows, masks = [], []
    for sequence in sequences:
        surplus = max(len(sequence) - width, 0)
        row = list(sequence[surplus:] if truncating == "pre" else sequence[: len(sequence) - surplus])
        total = width if multiple is None else max(1, (width + multiple - 1) // multiple) * multiple
        pads = total - len(row)
        real = [True] * len(row)
        rows.append(row + [value] * pads if padding == "post" else [value] * pads + row)
        masks.append(real + [False] * pads if padding == "post" else [False] * pads + real)
    return rows, masks


def assert_padded(x, rows, masks):
    assert isinstance(x.values, np.ndarray)
    assert isinstance(x.mask, np.ndarray)
    assert x.mask.dtype == bool
    assert x.values.tolist() == rows
    assert x.mask.tolist() == masks
