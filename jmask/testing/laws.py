"""The seven laws, and the assertion that one of them is broken."""

from collections.abc import Mapping
from types import MappingProxyType

LAWS: Mapping[int, str] = MappingProxyType(
    {
        1: "A mask is data",
        2: "Exact",
        3: "Padding is invisible",
        4: "Every mask is legal",
        5: "Nothing is silent",
        6: "One compile, paid for real steps",
        7: "Pure",
    }
)


class LawBroken(AssertionError):  # noqa: N818 - what a test says, not an error of a program
    """A layer or a function breaks one of the laws.

    Attributes:
        law: its number in `jm.testing.LAWS`.
        reason: what was expected and what came out.
        subject: the name of the layer or function.
        example: the smallest example that was found, as text: lengths, mask and inputs.
    """

    def __init__(self, law: int, reason: str, subject: str = "", example: str = "") -> None:
        super().__init__(law, reason, subject, example)
        self.law, self.reason, self.subject, self.example = law, reason, subject, example

    def __str__(self) -> str:
        return f"`{self.subject}` breaks law {self.law}, {LAWS[self.law]!r}: {self.reason}\n{self.example}"
