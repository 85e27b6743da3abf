"""Raw features on disk, by content: computed once, then read by every mode and every seed.

A file holds one tensor in half precision, which rounds by 5e-4 of a value, or by 3e-8 where the value is below 6e-5; in
single precision where a value exceeds half's range, or where all are so small (below 0.06) that the latter would tell. It is
named by the digest of everything that decides it: the provider, its code and its weights, the photos, the ground truth where
it is read. What is returned has gone through that rounding on the first call too, so that a cached run gives the same
numbers as a fresh one. What making the features cost is kept with them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.core.interfaces import FeatureInput
from bench.machine.digests import json_digest
from bench.machine.files import write_atomically

VERSION = 2  #: raised when the numerics of the providers or the format of the files change
_LIBRARIES = ("torch", "timm", "transformers", "diffusers", "scikit-image")  #: whose numerics the features depend on
_KEY = "values"
_LOG = logging.getLogger(__name__)
_SMALL = 2.0**-4  #: a thousand times half's smallest normal number: a map whose values all lie below it is kept in single


@dataclass(frozen=True)
class ExtractionCost:
    """What it took to make the features of a scene, when they were made.

    loading_seconds: building the network and reading its weights. peak_memory_mb: of the process (on a GPU: of its
    allocations) over loading and extraction. provenance: of the machine and the code (bench.machine.provenance).
    """

    loading_seconds: float
    extraction_seconds: float
    peak_memory_mb: float
    device: str
    provenance: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Extracted:
    """Raw features, (B, h, w, C) float32, under their key, and what they cost."""

    key: str
    values: Tensor
    cost: ExtractionCost


def feature_key(provider: str, code: Mapping[str, Any], weights_digest: str, scene: FeatureInput) -> str:
    """The digest of what decides a provider's raw features of a scene.

    code: its class (bench.machine.provenance.class_identity).
    """
    identity = {
        "version": VERSION,
        "libraries": {package: _installed(package) for package in _LIBRARIES},
        "provider": provider,
        "code": code,
        "weights": weights_digest,
        "images": _digest(scene.images),
        "points": None if scene.points is None else _digest(scene.points),
    }
    return json_digest(identity)


def cached_features(folder: Path, key: str, compute: Callable[[], tuple[Tensor, ExtractionCost]]) -> Extracted:
    """The features under `key`, from the folder or from `compute`, after the rounding described above.

    A damaged file is computed again and replaced. Files are written to a temporary name and renamed, so that parallel runs
    share a folder. Where the folder cannot be written to (full, read-only) a warning says so, and what is needed is
    computed each time.
    """
    path = folder / key[:2] / f"{key}.safetensors"
    held = _read(path)
    if held is None:
        values, cost = compute()
        held = _rounded(values.detach().cpu()), cost
        try:
            write_atomically(path, partial(_write, *held))
        except UserError as error:
            _LOG.warning("features are computed each time that they are needed: %s", error)
    return Extracted(key, held[0].float(), held[1])


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _rounded(values: Tensor) -> Tensor:
    half = values.half()
    broken = not bool(values.isfinite().all())  # such a map is refused later; its precision does not matter
    fits = bool(half.isfinite().all()) and bool((values.abs() >= _SMALL).any())
    return (half if fits or broken else values.float()).contiguous()


def _read(path: Path) -> tuple[Tensor, ExtractionCost] | None:
    """The tensor and its cost, or None where there is no file or it is not what was written."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            values: Tensor = file.get_tensor(_KEY)
            metadata = file.metadata() or {}
        cost = ExtractionCost(**json.loads(metadata["cost"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None
    return (values, cost) if metadata.get("sha256") == _digest(values) else None


def _write(values: Tensor, cost: ExtractionCost, path: Path) -> None:
    from safetensors.torch import save

    path.write_bytes(save({_KEY: values}, metadata={"sha256": _digest(values), "cost": json.dumps(asdict(cost))}))


def _digest(values: Tensor) -> str:
    sha = hashlib.sha256(f"{values.dtype}{tuple(values.shape)}".encode())
    sha.update(values.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return sha.hexdigest()
