"""Plans of an epoch: which sequences make a batch, and in which rows."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from .bucket_widths import cut_lengths
from .description import Description, describe_plan
from .epochs import BucketedOrder, PackedOrder, PaddedOrder, Prepared, Shape
from .pieces import Columns, TooLong, grouped, per_group, within_limits
from .plan_plot import plot_plan

Size = int | tuple[tuple[str, int], ...]  # of all columns, or of each by name


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Plan:
    """How sequences are put into batches; `data.padded`, `data.buckets` and `data.packed` make one.

    A plan says nothing about the data: the plan of an epoch follows from it, the lengths of a corpus, a seed and the
    number of the epoch, and from nothing else. So any step of any epoch can be made on its own, in any process.

    Attributes:
        shuffle: whether each epoch has another order; otherwise all have that of the corpus.
        truncate: whether sequences that are too long lose their ends.
        drop: whether they are left out.
        split: whether they are cut into several sequences.
    """

    shuffle: bool = True
    truncate: bool = False
    drop: bool = False
    split: bool = False

    function: ClassVar[str] = "Plan"

    def __post_init__(self) -> None:
        for name in ("shuffle", "truncate", "drop", "split"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"`{self.function}`: `{name}` is True or False; received {getattr(self, name)!r:.80}.")
        asked = [name for name in ("truncate", "drop", "split") if getattr(self, name)]
        if len(asked) > 1:
            raise ValueError(
                f"Sequences that are too long are treated in one way; received {'=True, '.join(asked)}=True."
            )

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)
        own = [field for field in fields if field.name not in Plan.__dataclass_fields__]
        shown = [field.name for field in (*own, *fields[: len(fields) - len(own)])]
        defaults = {field.name: field.default for field in fields}
        options = [f"{name}={getattr(self, name)!r}" for name in shown if getattr(self, name) != defaults[name]]
        return f"{self.function}({', '.join(options)})"

    @property
    def too_long(self) -> TooLong | None:
        """What becomes of sequences that are longer than a row."""
        return next((name for name in ("truncate", "drop", "split") if getattr(self, name)), None)

    def prepare(self, corpus: Any) -> Prepared:
        """What holds for all epochs of a corpus: the sequences, the shapes of batches, how epochs are ordered."""
        raise NotImplementedError

    def describe(self, corpus: Any, *, seed: int = 0) -> Description:
        """What the plan makes of a corpus, measured over two epochs.

        Args:
            corpus: a `data.Ragged`.
            seed: as for `data.batches`.

        Returns:
            A `Description`; `print` shows the share of padding, the shapes, steps an epoch, how much the real steps of
            batches differ, and how uniform the order is. For an empty corpus the shares are 0.

        Raises:
            ValueError: a sequence is longer than a row, and the plan does not say what becomes of it.

        >>> from jmask import data
        >>> corpus = data.Ragged(words=[[1] * (3 + i % 5) for i in range(2000)])
        >>> print(data.packed(row_length=50, rows=4, max_segments=16).describe(corpus))
        2,000 sequences of 3 to 7 steps, 10,000 steps in all
        padding          ...%
        shapes           1: 4 x 50
        steps an epoch   51
        real steps       196 a batch, spread ... (CV)
        sequences        at most 64 a batch
        order            excess ICC of length ..., partner repeat ... (uniform shuffle: 0 and 1)
        """
        return describe_plan(self.prepare(corpus), seed, shuffle=self.shuffle)

    def plot(self, corpus: Any, *, seed: int = 0) -> Any:
        """Draws what the plan makes of a corpus: the lengths with the widths of rows, and the steps of each batch.

        Args:
            corpus: a `data.Ragged`.
            seed: as for `data.batches`.

        Returns:
            A `matplotlib.figure.Figure`; `.savefig("plan.png")` writes it.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: a sequence is longer than a row, and the plan does not say what becomes of it.
        """
        return plot_plan(self.prepare(corpus), self.describe(corpus, seed=seed), seed)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class PaddedPlan(Plan):
    """A uniform shuffle, one sequence a row, one width: see `data.padded`."""

    rows: int
    width: Size | None = None
    pad_to_multiple_of: int | None = None

    function: ClassVar[str] = "data.padded"

    def prepare(self, corpus: Any) -> Prepared:
        """See `Plan.prepare`."""
        columns = grouped(corpus)
        if self.width is None:
            limits = [int(of.max(initial=0)) for of in columns.lengths]
            if self.too_long:
                raise ValueError(
                    f"`{self.too_long}=True` needs a width beyond which a sequence is too long; pass `width=` as well."
                )
        else:
            limits = per_group(columns, "width", self.width)
        pieces = within_limits(columns, limits, self.too_long, "width={}")
        multiple = self.pad_to_multiple_of or 1
        widths = [max(-(-limit // multiple), 1) * multiple for limit in limits]
        return Prepared(pieces, [Shape(self.rows, widths)], PaddedOrder(self.shuffle))


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class BucketPlan(Plan):
    """Few widths, equal numbers of steps: see `data.buckets`."""

    number: int
    tokens: int
    rows_multiple_of: int = 1
    pad_to_multiple_of: int | None = None

    function: ClassVar[str] = "data.buckets"

    def prepare(self, corpus: Any) -> Prepared:
        """See `Plan.prepare`."""
        columns, multiple = _with_sequences(corpus, "buckets"), self.pad_to_multiple_of or 1
        limit = self.tokens // self.rows_multiple_of // multiple * multiple
        if limit == 0:
            raise ValueError(
                f"`tokens={self.tokens}` are too few for a batch of {self.rows_multiple_of} rows of {multiple} steps; "
                f"pass at least `tokens={self.rows_multiple_of * multiple}`."
            )
        option = "tokens={}" if self.rows_multiple_of == 1 else f"tokens={self.rows_multiple_of} * {{}}"
        pieces = within_limits(columns, [limit] * len(columns.lengths), self.too_long, option)
        if not len(pieces):
            return Prepared(pieces, [], BucketedOrder(self.shuffle, np.zeros(0, np.int64)))
        bucket, widths = cut_lengths(pieces.lengths, self.number, multiple)
        shapes = [Shape(self._rows(max(of_columns)), of_columns) for of_columns in widths.tolist()]
        return Prepared(pieces, shapes, BucketedOrder(self.shuffle, bucket))

    def _rows(self, width: int) -> int:
        return self.tokens // width // self.rows_multiple_of * self.rows_multiple_of


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class PackedPlan(Plan):
    """Several sequences a row, one shape: see `data.packed`."""

    row_length: Size
    rows: int
    max_segments: int | None = None
    open_rows: int = 32

    function: ClassVar[str] = "data.packed"

    def prepare(self, corpus: Any) -> Prepared:
        """See `Plan.prepare`."""
        columns = _with_sequences(corpus, "packed")
        widths = per_group(columns, "row_length", self.row_length)
        pieces = within_limits(columns, widths, self.too_long, "row_length={}")
        order = PackedOrder(self.shuffle, self.open_rows, self.max_segments)
        shapes = [Shape(self.rows, widths)]
        return Prepared(pieces, shapes, order, is_packed=True, max_segments=self.max_segments)


def _with_sequences(corpus: Any, name: str) -> Columns:
    columns = grouped(corpus)
    if not columns.lengths:
        raise ValueError(
            f"`{name}` needs a column of sequences; all columns have one value a row. Use `data.padded(rows=...)`."
        )
    return columns
