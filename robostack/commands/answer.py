"""What a verb answers to a script, with --json: one JSON document on standard output, and nothing else there.

A verb with a field `json` gives its result to `answer`. While it runs, standard output is the answer's alone: what
else is printed goes to standard error, where progress and failures are. A failure answers nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any, TextIO

_ASKED_ON: ContextVar[TextIO | None] = ContextVar("asked_on", default=None)


@contextmanager
def for_a_script() -> Iterator[None]:
    """Standard output is `answer`'s alone within."""
    token = _ASKED_ON.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _ASKED_ON.reset(token)


def answer(value: Any) -> None:
    """Prints dataclasses, paths, numpy and plain values as JSON; NaN and infinity, which JSON has not, as null."""
    from robostack.run_folder import to_json

    print(to_json(value).decode(), end="", file=_ASKED_ON.get() or sys.stdout)
