"""Numbers for strings: words, characters, tags, labels."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, SupportsIndex, overload

import numpy as np

from ..core.checks import checked_option, checked_size
from ..sources.conversion import OBJECT
from .columns import Column
from .reading import as_column


@dataclasses.dataclass(frozen=True, init=False)
class Vocabulary:
    """A number for each of some strings, and one for all others.

    Frozen, and a few strings alone: `json.dumps(dataclasses.asdict(vocabulary))` writes it, and
    `data.Vocabulary(**json.loads(text))` is the same one again. `data.Vocabulary.of` makes one of a column.

    Args:
        tokens: distinct strings; each has its place as its number, from 0.
        unknown: the one of `tokens` whose number all other strings get; None: other strings are refused.

    Raises:
        TypeError: a token is no string.
        ValueError: a token occurs twice, or `unknown` is none of them.

    >>> from jmask import data
    >>> corpus = data.Ragged(words=[["the", "cat"], ["the"], []], tags=[["D", "N"], ["D"], []])
    >>> words = data.Vocabulary.of(corpus["words"], minimum=2)
    >>> words, len(words)
    (Vocabulary(tokens=('<unk>', 'the'), unknown='<unk>'), 2)
    >>> tags = data.Vocabulary.of(corpus["tags"], unknown=None)
    >>> corpus.replace(words=words.encode(corpus["words"]), tags=tags.encode(corpus["tags"]))[0]
    {'words': array([1, 0], dtype=int32), 'tags': array([0, 1], dtype=int32)}
    """

    tokens: tuple[str, ...]
    unknown: str | None

    def __init__(self, tokens: Sequence[str], unknown: str | None = None):
        tokens = tuple(_checked_strings(list(tokens)))
        if len(set(tokens)) < len(tokens):
            token, count = Counter(tokens).most_common(1)[0]
            raise ValueError(
                f"Each token has one number; {token!r} occurs {count} times. `dict.fromkeys(tokens)` has each once."
            )
        if unknown is not None and unknown not in set(tokens):
            raise ValueError(f"`unknown` must be one of the tokens; {unknown!r} is not. Put it first among them.")
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "unknown", unknown)

    @classmethod
    def of(
        cls,
        column: Any,
        *,
        minimum: SupportsIndex = 1,
        size: SupportsIndex | None = None,
        unknown: str | None = "<unk>",
        first: Sequence[str] = (),
        fallback: Callable[[str], str] | None = None,
    ) -> "Vocabulary":
        """The vocabulary of a column of strings, the most frequent first, in the order of the alphabet if equally so.

        Args:
            column: `corpus["words"]` or anything that `data.Ragged` takes as a column: sequences of strings, or one
                string a row. Steps that are missing do not count.
            minimum: how often a string must occur to have a number.
            size: how many numbers there may be in all; None: any number.
            unknown: what all other strings are, number 0 or after `first`; None: there is no such number, as for tags,
                and other strings are refused.
            first: tokens that come before all others, whether they occur or not: `("O",)` makes 0 the tag of nothing,
                `("<pad>",)` keeps 0 free for a layer with `mask_zero=True`.
            fallback: for strings that occur less than `minimum` times: what to take in their place, such as their
                shape or suffix. What it gives has a number whatever its count. Pass the same to `encode`.

        Returns:
            A `data.Vocabulary`; of an empty column, only of `first` and `unknown`.

        Raises:
            TypeError: the column holds something other than strings.

        >>> from jmask import data
        >>> data.Vocabulary.of(["b", "a", "b", "c"], size=3).tokens
        ('<unk>', 'b', 'a')
        """
        minimum, size = checked_size("minimum", minimum, 1), checked_option("size", size, 1)
        counts = Counter(_real_strings(as_column(column)))
        kept = {token: count for token, count in counts.items() if count >= minimum}
        if fallback is not None:
            for token, count in counts.items():
                if count < minimum:
                    other = fallback(token)
                    kept[other] = kept.get(other, 0) + count
        leading = dict.fromkeys([*first, *([] if unknown is None else [unknown])])
        others = sorted((token for token in kept if token not in leading), key=lambda token: (-kept[token], token))
        tokens = [*leading, *others]
        return cls(tuple(tokens if size is None else tokens[: max(size, len(leading))]), unknown)

    def __len__(self) -> int:
        """How many numbers there are: the size of an embedding, or of the logits."""
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._numbers

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    @overload
    def encode(self, strings: Column, *, fallback: Callable[[str], str] | None = None) -> Column: ...
    @overload
    def encode(self, strings: Iterable[str], *, fallback: Callable[[str], str] | None = None) -> np.ndarray: ...
    def encode(self, strings: Any, *, fallback: Callable[[str], str] | None = None) -> Any:
        """The numbers of strings.

        Args:
            strings: a column of a corpus, `corpus["words"]`; or a list of strings, such as the words of one sentence.
            fallback: for strings that are not here: what to look up in their place, before `unknown`.

        Returns:
            A `data.Column` with the same rows; or an int32 array `(steps,)` for a list. Missing steps stay missing.

        Raises:
            TypeError: something is no string.
            ValueError: a string has no number, and there is no `unknown`.

        >>> from jmask import data
        >>> data.Vocabulary(("<unk>", "the", "cat"), "<unk>").encode(["the", "dog"]).tolist()
        [1, 0]
        """
        if isinstance(strings, Column):
            flat = np.zeros(len(strings.values), np.int32)
            flat[... if strings.real is None else strings.real] = self._encoded(_real_strings(strings), fallback)
            return Column(flat, strings.offsets, strings.real)
        if isinstance(strings, str):
            raise TypeError(f"`encode` takes a list of strings; received the string {strings!r}. Pass `[{strings!r}]`.")
        return self._encoded(_checked_strings(list(strings)), fallback)

    def decode(self, numbers: Any) -> Any:
        """The strings of numbers.

        Args:
            numbers: integers of any shape, or a column of them.

        Returns:
            An array of objects of the same shape, or a `data.Column`.

        Raises:
            TypeError: they are not integers.
            IndexError: a number is not from 0 to the number of tokens.

        >>> from jmask import data
        >>> data.Vocabulary(("O", "B")).decode([[0, 1]]).tolist()
        [['O', 'B']]
        """
        if isinstance(numbers, Column):
            return Column(self.decode(numbers.values), numbers.offsets, numbers.real)
        places = np.asarray(numbers)
        if places.size and places.dtype.kind not in "iu":
            raise TypeError(f"`decode` takes integers; received dtype {places.dtype}. Of logits take `.argmax(-1)`.")
        if places.size and not 0 <= places.min() <= places.max() < len(self):
            wrong = places.min() if places.min() < 0 else places.max()
            raise IndexError(f"The numbers of this vocabulary go from 0 to {len(self) - 1}; received {wrong}.")
        return np.array(self.tokens, object)[places.astype(np.int64)]

    def _encoded(self, strings: list[str], fallback: Callable[[str], str] | None) -> np.ndarray:
        numbers = self._numbers
        other = -1 if self.unknown is None else numbers[self.unknown]
        known = {token: numbers.get(token, -1) for token in set(strings)}
        for token, number in known.items():
            if number < 0:
                known[token] = other if fallback is None else numbers.get(fallback(token), other)
                if known[token] < 0:
                    raise ValueError(
                        f"{token!r} has no number, and this vocabulary has no `unknown`: it was made of other data. "
                        'Make it of all of the data, or with `unknown="<unk>"`.'
                    )
        return np.fromiter(map(known.__getitem__, strings), np.int32, len(strings))


def _real_strings(column: Column) -> list[str]:
    values = column.values if column.real is None else column.values[column.real]
    if values.dtype != OBJECT and values.size:
        raise TypeError(f"A vocabulary is of strings; this column holds numbers already, {values.dtype}.")
    if values.ndim > 1:
        raise TypeError(f"A vocabulary is of strings, one for each step; received {column.summary()}.")
    return _checked_strings(values.tolist())


def _checked_strings(strings: list[Any]) -> list[str]:
    for kind in set(map(type, strings)):
        if not issubclass(kind, str):
            wrong = next(string for string in strings if type(string) is kind)
            raise TypeError(f"A vocabulary is of strings; received {wrong!r} of type {kind.__name__}.")
    return strings
