"""The whole loop in one call; copy it where it does not fit."""

from collections.abc import Callable, Mapping
from typing import Any

from .runs import Run
from .state import State
from .stepping import step as make_step


def fit(
    loss: Callable[..., Any],
    optimizer: Any,
    params: Any,
    batches: Any,
    *,
    directory: Any,
    epochs: int | None = None,
    key: Any = None,
    statistics: Any = None,
    scores: Callable[[State], Mapping[str, Any]] | None = None,
    best: str | None = None,
    mode: Any = "max",
    patience: int | None = None,
    progress: bool = True,
    **options: Any,
) -> State:
    """Trains: `train.step` in the loop that `train.Run` watches over. Called again, it goes on where it was.

    It is short on purpose: whoever needs another loop copies its code.

    Args:
        loss: as for `train.step`.
        optimizer: as for `train.step`.
        params: the first parameters.
        batches: as for `Run.restore`, such as what `data.batches` returns.
        directory: the folder of the run, with checkpoints and log.
        epochs: number of epochs; None: as many as the batches know.
        key: a PRNG key, if the loss takes one.
        statistics: the running statistics, if the loss takes them.
        scores: called with the state after each epoch; returns numbers or sums by name, such as those of held-out data.
        best: the score that decides, as for `Run`.
        mode: "max" or "min", as for `Run`.
        patience: as for `Run`.
        progress: as for `Run`.
        **options: of `train.step`, such as `accumulate=4`.

    Returns:
        The state with the best score; the last one if no score decides.

    Raises:
        TypeError: as for `train.step` and `Run.restore`.
        ValueError: as for `train.step`, `Run` and its methods.
        OSError: as for `Run`.

    >>> import jax, numpy as np, optax, tempfile, jmask as jm
    >>> from jmask import train
    >>> batches = [jm.pad_sequences([[1.0, 2.0], [3.0]])] * 3
    >>> def loss(params, batch):
    ...     return jm.losses.squared_error(batch * params["w"], batch, divide=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     state = train.fit(
    ...         loss, optax.adam(0.1), {"w": np.float32(0)}, batches, epochs=20, directory=folder, progress=False
    ...     )
    >>> bool(abs(state.params["w"] - 1) < 0.1)
    True
    """
    options.setdefault("shapes", len(getattr(batches, "shapes", "1")))
    step = make_step(loss, optimizer, **options)
    state = step.init(params, key, statistics=statistics)
    with Run(directory, best=best, mode=mode, patience=patience, progress=progress) as run:
        state, left = run.restore(state, batches, epochs=epochs)
        for epoch in left:
            for batch in epoch:
                state, sums = step(state, batch)
                run.log(sums, state)
            if run.save(state, **(scores(state) if scores else {})):
                break
        return run.best(state) if best else state
