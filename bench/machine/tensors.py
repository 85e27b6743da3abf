"""Files in PyTorch's format, read without running anything that they name."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import Any

import torch

from bench.core.errors import UserError


class Inert:
    """Stands in for an object, or for a function's answer, of which a file has no more than the name: keeps nothing of what
    it is given, and does nothing with it."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_content(path: Path) -> Any:
    """What a file in PyTorch's format holds, read without importing or calling anything that it names.

    PyTorch's reader makes objects of a fixed list of classes, argparse's namespaces besides; every other name in the file
    means `Inert` here, so that settings and optimisers that lie beside the weights are in nobody's way.

    Args:
        path: The file. One of PyTorch before 1.6, which wrote no archive, may hold no other names.

    Raises:
        UserError: Where it cannot be read like that.
    """
    archive = zipfile.is_zipfile(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            named = torch.serialization.get_unsafe_globals_in_checkpoint(path) if archive else []
            with torch.serialization.safe_globals([(Inert, name) for name in named]):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # whatever a damaged file raises
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> UserError:
    """The one clear message for a file that cannot be read as tensors."""
    # What PyTorch says around its reason is how to read the file without any care.
    reason = next(iter(str(error).rpartition("WeightsUnpickler error: ")[2].splitlines()), "")
    return UserError(f"{path}: not a checkpoint that can be read safely ({type(error).__name__}: {reason})")
