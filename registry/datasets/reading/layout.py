"""One way to lay out a scene on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from registry.datasets.reading.photo_set import PhotoSet


@dataclass(frozen=True)
class Layout:
    """One way to lay out a scene.

    Attributes:
        recognises: Whether a folder is of this kind, by its marks alone, sound or not.
        read: Its photos. Raises UserError naming the file at fault.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path], PhotoSet]
