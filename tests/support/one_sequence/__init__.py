"""Functions of one sequence, and their check under `jm.vmap` beside a loop over rows."""
