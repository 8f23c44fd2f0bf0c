"""What type checkers know where tests, which check calls at run time, must allow more."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

if TYPE_CHECKING:
    Values = jax.Array
    Rows = list[np.ndarray]
else:
    Values = Any  # the arrays of a `Masked`: of NumPy, too, and JAX puts axes, shardings and shapes in their places
    Rows = Any  # of one sequence an array; of documents lists of lists of arrays
