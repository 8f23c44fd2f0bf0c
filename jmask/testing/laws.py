"""The seven laws, and the assertion that one of them is broken."""

from collections.abc import Mapping
from types import MappingProxyType

LAWS: Mapping[str, str] = MappingProxyType(
    {
        "data": "A mask is data.",
        "exact": "The result for each sequence is that of the sequence alone, without padding.",
        "invisible padding": "Nothing at a padded position changes a result or has a gradient.",
        "legal masks": "Padding may be anywhere, and rows may be empty.",
        "not silent": "No mask is lost without a word.",
        "one compile": "One program serves all lengths.",
        "pure": "The same inputs give the same outputs.",
    }
)


class LawBroken(AssertionError):  # noqa: N818 - a failed assertion, not an error of a program
    """A layer or a function breaks one of the laws.

    Attributes:
        law: its name in `jm.testing.LAWS`.
        reason: what was expected and what came out.
        subject: the name of the layer or function.
        example: the smallest example that was found, as text: lengths, mask and inputs.
    """

    def __init__(self, law: str, reason: str, subject: str = "", example: str = "") -> None:
        super().__init__(law, reason, subject, example)
        self.law, self.reason, self.subject, self.example = law, reason, subject, example

    def __str__(self) -> str:
        return f"`{self.subject}` breaks the law {self.law!r}: {self.reason}\n{self.example}".rstrip()
