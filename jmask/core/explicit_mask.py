"""The mask that a caller gives explicitly, against the mask that is attached to a `Masked`."""


class _NoMask:
    """The explicit absence of a mask."""

    def __repr__(self) -> str:
        return "jm.NO_MASK"

    def __reduce__(self) -> str:
        return "NO_MASK"  # there is one; copies and pickles are that one


NO_MASK = _NoMask()
