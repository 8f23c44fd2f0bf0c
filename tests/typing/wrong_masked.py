"""Mistakes of users that type checkers find: a line without an error fails, since its suppression is unnecessary."""

import jax

import jmask as jm


def masked(x: jm.Masked, array: jax.Array) -> None:
    x.segments  # pyright: ignore[reportAttributeAccessIssue]
    x.values.fil  # pyright: ignore[reportAttributeAccessIssue]
    x.filled(0)  # pyright: ignore[reportAttributeAccessIssue]
    jm.Masked(array, segments=array)  # pyright: ignore[reportCallIssue]
    x.segment_ids.max()  # pyright: ignore[reportOptionalMemberAccess]
    total: jax.Array = x + 1  # pyright: ignore[reportAssignmentType]
    is_equal: bool = x == x  # pyright: ignore[reportAssignmentType]
    last: jax.Array = x[:, -1]  # pyright: ignore[reportAssignmentType]
    maximum: float = x.max(-1)  # pyright: ignore[reportAssignmentType]
    del total, is_equal, last, maximum


def data(x: jm.Masked) -> None:
    jm.pad_sequences([[1], [2, 3]], padding="left")  # pyright: ignore[reportArgumentType]
    jm.pad_sequences([[1], [2, 3]], max_len=3)  # pyright: ignore[reportCallIssue]
    jm.from_lengths(x.values, [1, 2], padding_side="post")  # pyright: ignore[reportArgumentType]
    jm.pack([[1], [2, 3]], row_length=2.5)  # pyright: ignore[reportArgumentType]
    jm.unpack_batch(x, 3)  # pyright: ignore[reportCallIssue]
    jm.left_align(x).values  # pyright: ignore[reportAttributeAccessIssue]
