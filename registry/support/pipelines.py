"""Networks from folders as diffusers and transformers save them: all of their weights, or an error.

Both libraries fill what a file lacks with random numbers and say so in a warning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from bench.types import UserError

#: The libraries whose networks a pipeline's folder may name, with what each calls the numbers' type.
_LIBRARIES = MappingProxyType({"diffusers": "torch_dtype", "transformers": "dtype"})


def pretrained(network: Any, folder: Path, **options: Any) -> Any:
    """A network of one of the libraries, with the weights of a folder.

    Args:
        network: Its class.
        folder: Configuration and weights, as the library saves them.
        options: Of the class's from_pretrained.

    Raises:
        UserError: Where the weights cannot be read, lack one of the network's, or have one of another shape.
    """
    try:
        model, report = network.from_pretrained(folder, local_files_only=True, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder}: the weights cannot be loaded: {error}") from error
    missing = [*report["missing_keys"], *(str(key) for key in report["mismatched_keys"])]
    if missing:
        raise UserError(f"{folder}: the weights do not fit: {len(missing)} missing or misshapen, first {min(missing)}")
    return model


def pipeline_networks(
    folder: Path, module: Callable[[str], Any], dtype: torch.dtype = torch.float32, given: Collection[str] = ()
) -> dict[str, Any]:
    """The networks of a pipeline of diffusers, to be handed to its from_pretrained, which would load them unchecked.

    Args:
        folder: As the library saves a pipeline; model_index.json names the networks, each in a folder of its own.
        module: Gives one of the two libraries by its name.
        dtype: Of the weights.
        given: Parts that the caller brings.

    Returns:
        By the parts' names; schedulers and tokenizers, which have no weights, are left to the pipeline.

    Raises:
        UserError: As `pretrained` does, and where model_index.json cannot be read.
    """
    index = folder / "model_index.json"
    try:
        parts = dict(json.loads(index.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{index}: expected the parts of a pipeline as diffusers saves them: {error}") from error
    networks = {}
    for part, named in parts.items():
        library, name = map(str, named) if isinstance(named, list) and len(named) == 2 else ("", "")
        if part in given or library not in _LIBRARIES:
            continue
        found = getattr(module(library), name, None)
        if isinstance(found, type) and issubclass(found, nn.Module):
            networks[part] = pretrained(found, folder / part, **{_LIBRARIES[library]: dtype})
    return networks
