"""Raw features on disk, by content: computed once, then read by every mode and every seed.

A file holds one tensor in half precision (relative rounding 5e-4; single precision where a value exceeds half's range),
named by the digest of everything that decides it: the provider and its weights, the photos, the ground truth where it is
read. What is returned has gone through that rounding on the first call too, so that a cached run gives the same numbers as
a fresh one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor

from bench.types import FeatureInput, UserError

VERSION = 1  #: raised when the numerics of the providers change
_LIBRARIES = ("torch", "timm", "transformers", "diffusers", "scikit-image")  #: whose numerics the features depend on
_KEY = "values"


def feature_key(provider: str, weights_digest: str, scene: FeatureInput) -> str:
    """The digest of what decides a provider's raw features of a scene."""
    identity = {
        "version": VERSION,
        "libraries": {package: _installed(package) for package in _LIBRARIES},
        "provider": provider,
        "weights": weights_digest,
        "images": _digest(scene.images),
        "points": None if scene.points is None else _digest(scene.points),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def cached_features(folder: Path, key: str, compute: Callable[[], Tensor]) -> Tensor:
    """The features under `key`, from the folder or from `compute`; (B, h, w, C) float32 after the rounding described above.

    A damaged file is computed again and replaced. Files are written to a temporary name and renamed, so that parallel runs
    share a folder. Raises UserError where the folder cannot be written.
    """
    path = folder / key[:2] / f"{key}.safetensors"
    held = _read(path)
    if held is None:
        held = _rounded(compute().detach().cpu())
        _write(path, held)
    return held.float()


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _rounded(values: Tensor) -> Tensor:
    half = values.half()
    fits = bool(half.isfinite().all()) or not bool(values.isfinite().all())
    return (half if fits else values.float()).contiguous()


def _read(path: Path) -> Tensor | None:
    """The tensor, or None where there is no file or it is not what was written."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            values: Tensor = file.get_tensor(_KEY)
            intact = (file.metadata() or {}).get("sha256") == _digest(values)
    except (SafetensorError, OSError, ValueError):
        return None
    return values if intact else None


def _write(path: Path, values: Tensor) -> None:
    from safetensors.torch import save

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(save({_KEY: values}, metadata={"sha256": _digest(values)}))
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise UserError(f"the feature cache {path.parent} cannot be written: {error.strerror or error}") from error


def _digest(values: Tensor) -> str:
    sha = hashlib.sha256(f"{values.dtype}{tuple(values.shape)}".encode())
    sha.update(values.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return sha.hexdigest()
