"""Where the weights of a model come from, whether they are on this machine, and how to get them.

A card's `weights` is its source: "hf:owner/name" (a repository of the Hugging Face hub; "hf:owner/name/file" names the file,
else the class's `weights_files`, else model.safetensors) or "torchhub:URL" (a file that torch.hub keeps). Nothing here loads
a network: these functions find, fetch and describe files.
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.types import Card, Unavailable, UserError

DEFAULT_FILE = "model.safetensors"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class WeightFile:
    """One file of a model's weights. path: where it lies on this machine, None where it is not cached."""

    source: str
    path: Path | None

    @property
    def bytes(self) -> int | None:
        return None if self.path is None else self.path.stat().st_size


@dataclass(frozen=True)
class WeightState:
    """What `bench weights check` says of one model.

    source: as on the card, "" where nothing is downloaded. bytes: on disk, or as the publisher states, None where unknown.
    gated: True where the publisher asks for an agreement first, None where that is unknown.
    """

    name: str
    source: str
    license: str
    files: tuple[WeightFile, ...] = ()
    bytes: int | None = None
    gated: bool | None = None
    note: str = ""

    @property
    def needed(self) -> bool:
        return bool(self.source)

    @property
    def cached(self) -> bool:
        """Every file is on this machine."""
        return all(file.path is not None for file in self.files) and bool(self.files)


def sources(model: type[Any]) -> tuple[str, ...]:
    """One source per file that a provider's or estimator's class needs; none where its card names no weights."""
    card: Card = model.card
    if not card.weights:
        return ()
    kind, _, rest = card.weights.partition(":")
    if kind == "hf" and rest.count("/") == 1:
        return tuple(f"{card.weights}/{file}" for file in getattr(model, "weights_files", (DEFAULT_FILE,)))
    return (card.weights,)


def cached(source: str) -> Path | None:
    """Where the file of a source lies on this machine, or None; asks no network. Raises UserError for a malformed source."""
    kind, rest = _parse(source)
    if kind == "torchhub":
        path = _torchhub_path(rest)
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(*_repository_and_file(rest))
    return Path(found) if isinstance(found, str) else None


def locate(source: str, name: str) -> Path:
    """The file of that source, fetched with progress where it is not cached; an interrupted download resumes.

    Raises Unavailable, saying what is missing, where it comes from and what to do, where it cannot be had.
    """
    found = cached(source)
    if found is not None:
        return found
    try:
        return _fetched(source)
    except Exception as error:  # whatever the network or the publisher answers, the user hears one message
        raise Unavailable(_advice(name, source, error)) from error


def fetch(model: type[Any], name: str) -> tuple[WeightFile, ...]:
    """All files of a model, fetched where they are not cached. Raises Unavailable as `locate` does."""
    return tuple(WeightFile(source, locate(source, name)) for source in sources(model))


def check(model: type[Any], name: str, online: bool = False) -> WeightState:
    """What is known of a model's weights. online: ask the publisher for size and gating too; a failure leaves them unknown."""
    card: Card = model.card
    files = tuple(WeightFile(source, cached(source)) for source in sources(model))
    sizes = [file.bytes for file in files]
    size = sum(size for size in sizes if size is not None) if files and all(size is not None for size in sizes) else None
    state = WeightState(name, card.weights, card.license, files, size, note=card.note)
    return _with_published_facts(state) if online and files else state


@functools.cache
def digest(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha.update(block)
    return sha.hexdigest()


def _parse(source: str) -> tuple[str, str]:
    kind, _, rest = source.partition(":")
    if kind == "torchhub" and rest.startswith("https://"):
        return kind, rest
    if kind == "hf" and rest.count("/") >= 2:
        return kind, rest
    raise UserError(f"weights {source!r}: expected 'hf:owner/name', 'hf:owner/name/file' or 'torchhub:https://…'")


def _repository_and_file(rest: str) -> tuple[str, str]:
    owner, name, file = rest.split("/", 2)
    return f"{owner}/{name}", file


def _torchhub_path(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def _fetched(source: str) -> Path:
    kind, rest = _parse(source)
    if kind == "torchhub":
        if os.environ.get("HF_HUB_OFFLINE"):
            raise ConnectionError("offline mode (HF_HUB_OFFLINE)")
        path = _torchhub_path(rest)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(rest, str(path), progress=True)
        return path
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(*_repository_and_file(rest)))


def _with_published_facts(state: WeightState) -> WeightState:
    raise NotImplementedError


def _advice(name: str, source: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (
        f"{name}: the weights {source} are not on this machine and could not be fetched ({reason}). "
        f"With a network: bench weights fetch --models {name}. Without: --weights random, or a local file by --checkpoint"
    )
