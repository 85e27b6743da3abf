"""What stays in the memory of one process between the cells that it runs: a network, a scene, a point map.

A worker owns one such object and hands it to each of its cells; nothing is kept in a module.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Built = TypeVar("Built")


class Residents:
    """One thing of each kind: what was built last. It is freed before the next of its kind is built.

    Example:
        >>> residents = Residents()
        >>> residents.get("network", "dino", lambda: "DINO")
        'DINO'
        >>> residents.get("network", "dino", lambda: "not built again")
        'DINO'
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[Hashable, Any]] = {}

    def get(self, kind: str, key: Hashable, build: Callable[[], Built]) -> Built:
        """What `build` gives.

        Args:
            kind: What it is; one of a kind is held.
            key: Which one it is; what is held is given again where the key is the same.
            build: Makes it.
        """
        if kind not in self._held or self._held[kind][0] != key:
            self.free(kind)
            self._held[kind] = key, build()
        built: Built = self._held[kind][1]
        return built

    def holds(self, kind: str) -> bool:
        """True where something of this kind is held."""
        return kind in self._held

    def free(self, kind: str) -> None:
        """Let go of what is held of a kind."""
        if self._held.pop(kind, None) is not None:
            gc.collect()  # networks hold references in circles
