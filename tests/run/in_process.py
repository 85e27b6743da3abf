"""An engine without a boundary, for tests that patch what the runner calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any


def map_groups(function: Callable[[Any], Any], groups: Sequence[Sequence[Any]], **_: Any) -> Iterator[tuple[Any, Any]]:
    """Run every task in this process, one after the other; limits and `initialise` are left out."""
    for group in groups:
        for task in group:
            yield task, function(task)
