"""The columns of a summary, shared by the terminal table and the notebook table."""

from typing import Any

NUMBERS = ("Params", "Statistics")


def headings(summary: Any) -> list[str]:
    """The headings; one for running statistics only if there are any."""
    statistics = ["Statistics"] if summary.num_statistics != 0 else []
    return ["Layer", "Output", "Params", *statistics, "From", "Mask"]


def counts(row: Any) -> dict[str, str]:
    """The numbers of a row, or of all rows."""
    return {"Params": count(row.num_params), "Statistics": count(row.num_statistics)}


def count(number: Any) -> str:
    """A number of parameters; one that depends on an unknown size is an expression."""
    return f"{number:,}" if isinstance(number, int) else str(number)
