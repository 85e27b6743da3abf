"""Words that messages and notes share."""

from __future__ import annotations

from collections.abc import Sequence

MOST_NAMED = 8  #: names that a message gives one by one


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """The names, the first `most` of them: "a, b and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
