"""Our tasks under other people's trainers, their environments under our learners, their policies in our contract.

One file a peer; each needs the extra that its error names. `groups` is what they all share, and imports no peer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from robostack import registry


@contextmanager
def named_extra() -> Iterator[None]:
    """Around the import of a peer's package: what is missing is raised as MissingExtraError, naming the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = registry.extra_for(error.name or "")
        if extra is None:
            raise
        raise registry.MissingExtraError(
            f"this adapter needs {error.name!r}: pip install 'robostack[{extra}]'", name=error.name
        ) from error
