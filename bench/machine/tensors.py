"""Files in PyTorch's format, read without running anything that they name."""

from __future__ import annotations

import argparse
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from bench.core.errors import UserError

#: Where in its messages PyTorch turns to how a file may be read in spite of what it says.
_ADVICE = re.compile(r"Please use|Re-running|In PyTorch|This file can still be loaded|Check the documentation")


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
    means `Inert` here, so that settings and optimisers that lie beside the weights are in nobody's way. It puts items into
    dictionaries and lists of its own classes alone: a file that holds some in a subclass of these, or in a defaultdict or
    deque, is refused as a whole.

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
    lines = str(error).rpartition("WeightsUnpickler error:")[2].splitlines()
    told = (_ADVICE.split(line, maxsplit=1)[0].strip().removesuffix("Weights only load failed.") for line in lines)
    reason = ": ".join([type(error).__name__, *filter(None, [next(filter(None, told), "")])])
    return UserError(f"{path}: not a checkpoint that can be read safely ({reason})")
