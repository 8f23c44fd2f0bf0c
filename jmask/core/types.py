"""Types that are precise for type checkers, and looser at run time, where the tests check calls."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

if TYPE_CHECKING:
    Values = jax.Array
    Rows = list[np.ndarray]
else:
    Values = Any  # the arrays of a `Masked`: NumPy's too, and JAX puts axes, shardings and shapes in their place
    Rows = Any  # for one sequence an array; for documents lists of lists of arrays
