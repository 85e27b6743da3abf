"""Where the weights of a model come from, whether they are on this machine, and how to get them.

A card's `weights` is its source: "hf:owner/name" (a repository of the Hugging Face hub; "hf:owner/name/file" names the file,
else the class's `weights_files`, else model.safetensors), "torchhub:URL" (a file that torch.hub keeps),
"package:folder/file" (a file that travels inside an installed package, never downloaded by itself) or "page:URL" (where the
user downloads the file, to be given by --checkpoint). Other sources are fetched by the model's own package. Where the card
pins its weights, "@" and what pins them stand in the source: after the hub's repository, else at the end. Nothing here loads
a network: these functions find, fetch and describe files.
"""

from __future__ import annotations

import functools
import os
import re
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.core.errors import Unavailable, UserError
from bench.core.interfaces import Card, FeatureProvider, GeometryEstimator
from bench.machine import hub
from bench.machine.digests import digest, folder_digest, joint_digest
from bench.machine.downloads import download
from bench.machine.hub import Moved

DEFAULT_FILE = "model.safetensors"
_TIMEOUT = 5.0  #: seconds until a host counts as out of reach
_PIN = re.compile("@([0-9a-f]{7,64})(?=/|$)")


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

    Attributes:
        source: As on the card, "" where nothing is downloaded.
        files: Of the model, each with where it lies.
        bytes: On disk, or as the publisher states; None where unknown.
        gated: True where the publisher asks for an agreement first, None where that is unknown.
        revision: What pins the weights; "" where they are not pinned.
        held: The hub's commit that the cached files are of; "" where nothing is cached, or not from the hub.
        moved: Whether the hub has moved on from what is pinned, else held; None where it was not asked or did not say.
    """

    name: str
    source: str
    license: str
    files: tuple[WeightFile, ...] = ()
    bytes: int | None = None
    gated: bool | None = None
    note: str = ""
    revision: str = ""
    held: str = ""
    moved: Moved | None = None

    @property
    def needed(self) -> bool:
        return bool(self.source)

    @property
    def cached(self) -> bool:
        """Every file is on this machine."""
        return bool(self.files) and all(file.path is not None for file in self.files)


def sources(model: type[Any]) -> tuple[str, ...]:
    """One source per file that a model's class needs; none where its card names none that is kept here, nor for an untrained
    twin."""
    weights = _source(model)
    pin = f"@{model.card.revision}" if model.card.revision else ""
    kind, _, rest = weights.partition(":")
    if kind == "hf" and "/" in rest:
        owner, name, *file = rest.split("/", 2)
        files = tuple(file) or getattr(model, "weights_files", (DEFAULT_FILE,))
        return tuple(f"hf:{owner}/{name}{pin}/{each}" for each in files)
    return (f"{weights}{pin}",) if kind in ("hf", "package") or rest.startswith("https://") else ()


def file_name(source: str) -> str:
    """What the file of a source is called, without what pins it."""
    return _PIN.sub("", source).rpartition("/")[2]


def _source(model: type[Any]) -> str:
    return "" if getattr(model, "untrained", False) else model.card.weights


def to_be_downloaded(card: Card) -> bool:
    """Whether a model needs more than what is installed with the packages that it `needs`."""
    return bool(card.weights) and not card.weights.startswith("package:")


def cached(source: str) -> Path | None:
    """Where the file of a source lies on this machine, or None; asks no network. Raises UserError for a malformed source."""
    kind, rest, pin = _parse(source)
    if kind == "page":
        return None
    if kind in ("torchhub", "package"):
        path = _torchhub_path(rest) if kind == "torchhub" else _packaged_path(rest)
        return path if path is not None and path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(*_repository_and_file(rest), revision=pin or None)
    return Path(found) if isinstance(found, str) else None


def locate(source: str, name: str) -> Path:
    """The file of a source; fetched with progress where it is not cached (an interrupted download resumes).

    Raises Unavailable, saying what is missing, where it comes from and what to do, where it cannot be had or is not the file
    that is pinned.
    """
    kind, rest, pin = _parse(source)
    found = cached(source)
    if found is not None:
        return found if kind == "hf" else _as_pinned(found, pin, name)
    if kind == "page":
        raise Unavailable(
            f"{name}: the publisher offers the weights at {rest} for download by hand; give the file by --checkpoint, "
            "or use --weights random"
        )
    if kind == "package":
        package, _, file = rest.partition("/")
        raise Unavailable(f"{name}: the package {package} as it is installed here has no file {file}; install it anew")
    try:
        return _as_pinned(_from_torchhub(rest), pin, name) if kind == "torchhub" else _from_hub(rest, pin)
    except Unavailable:
        raise
    except Exception as error:  # whatever the network or the publisher answers, the user hears one message
        raise Unavailable(_advice(name, source, error)) from error


def _as_pinned(path: Path, pin: str, name: str) -> Path:
    """The path. Raises Unavailable where the file has another digest than the pinned one."""
    if pin and digest(path) != pin:
        raise Unavailable(
            f"{name}: {path} is not the file that the card pins (its sha256 begins with {digest(path)[:12]}, pinned is "
            f"{pin[:12]}); install the package version of constraints.txt, or give the file by --checkpoint"
        )
    return path


def fetch(model: type[Any], name: str) -> tuple[WeightFile, ...]:
    """All files of a model, fetched where they are not cached. Raises Unavailable as `locate` does."""
    return tuple(WeightFile(source, locate(source, name)) for source in sources(model))


def check(model: type[Any], name: str, online: bool = False) -> WeightState:
    """What is known of a model's weights. online: ask the publisher for size and gating too; failing that, they are None."""
    card: Card = model.card
    files = tuple(WeightFile(source, cached(source)) for source in sources(model))
    source = _source(model)
    note = card.note if files or not source else "fetched by the model's own package at first use"
    held = next((hub.snapshot_of(file.path) for file in files if file.path is not None), "")
    state = WeightState(name, source, card.license, files, note=note, revision=card.revision, held=held)
    if online and files:
        state = _with_published_facts(state)
    return replace(state, bytes=sum(file.bytes or 0 for file in files)) if state.cached else state


def identity(model: FeatureProvider | GeometryEstimator) -> str:
    """What identifies a model's weights in keys: the content of pretrained files, wherever they lie.

    Where they are not at hand, or are random, it is what the model itself says (`weights_digest`).
    """
    found = content(type(model), model.checkpoint) if model.weights == "pretrained" else ""
    return f"pretrained:{found}" if found else model.weights_digest


def content(model: type[Any], checkpoint: Path | None = None) -> str:
    """ "sha256:…" of the file of a model's class, the joint digest where it has several, or that of the local file or folder
    that stands in for them (bench.machine.digests).

    "" where the files are not on this machine, or not known because the model's own package fetches them.
    """
    if checkpoint is not None and checkpoint.is_dir():
        return f"sha256:{folder_digest(checkpoint)}"
    if checkpoint is not None:
        return f"sha256:{digest(checkpoint)}" if checkpoint.is_file() else ""
    found = {source: path for source in sources(model) if (path := cached(source)) is not None}
    if not found or len(found) < len(sources(model)):
        return ""
    if len(found) == 1:
        return f"sha256:{digest(*found.values())}"
    # Several are a hub's, under their names in its repository: what the same files in a local folder would be called.
    return f"sha256:{joint_digest({_repository_and_file(_parse(each)[1])[1]: digest(path) for each, path in found.items()})}"


def _parse(source: str) -> tuple[str, str, str]:
    """Kind, the rest without its pin, the pin ("" for none)."""
    kind, _, pinned = source.partition(":")
    pin = _PIN.search(pinned)
    rest = _PIN.sub("", pinned)
    wellformed = {
        "hf": rest.count("/") >= 2,
        "torchhub": rest.startswith("https://"),
        "page": rest.startswith("https://"),
        "package": "/" in rest,
    }
    if wellformed.get(kind):
        return kind, rest, pin[1] if pin else ""
    raise UserError(
        f"weights {source!r}: expected 'hf:owner/name', 'hf:owner/name/file', 'torchhub:https://…', 'page:https://…' or "
        "'package:folder/file'"
    )


def _repository_and_file(rest: str) -> tuple[str, str]:
    owner, name, file = rest.split("/", 2)
    return f"{owner}/{name}", file


def _torchhub_path(url: str) -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def _packaged_path(rest: str) -> Path | None:
    """Where a file lies inside an installed package, which is not imported for that; None where the package is absent."""
    package, _, file = rest.partition("/")
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / file


def _from_torchhub(url: str) -> Path:
    path = _torchhub_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    _must_reach(url)
    download(url, path)
    return path


def _from_hub(rest: str, pin: str) -> Path:
    from huggingface_hub import constants, hf_hub_download

    _must_reach(constants.ENDPOINT)
    return Path(hf_hub_download(*_repository_and_file(rest), revision=pin or None))


def _must_reach(url: str) -> None:
    """Raises ConnectionError at once where a host cannot be reached: the clients' own retries take half a minute a file."""
    host = urlsplit(url).hostname
    if host and not _reachable(host):
        raise ConnectionError(f"{host} cannot be reached")


@functools.cache
def _reachable(host: str) -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:  # the hub's own switch
        return False
    if urllib.request.getproxies():
        return True
    try:
        socket.create_connection((host, 443), timeout=_TIMEOUT).close()
    except OSError:
        return False
    return True


def _with_published_facts(state: WeightState) -> WeightState:
    kind, rest, pin = _parse(state.files[0].source)
    if kind in ("page", "package"):
        return state
    try:
        if kind == "torchhub":
            _must_reach(rest)
            with urllib.request.urlopen(urllib.request.Request(rest, method="HEAD"), timeout=_TIMEOUT) as answer:
                return replace(state, bytes=int(answer.headers["Content-Length"]), gated=False)
        from huggingface_hub import constants

        _must_reach(constants.ENDPOINT)
        repository = _repository_and_file(rest)[0]
        files = [_repository_and_file(_parse(file.source)[1])[1] for file in state.files]
        newest = hub.published(repository, files, _TIMEOUT)
        before = pin or state.held
        moved = hub.moved(repository, before, newest, _TIMEOUT) if before else None
        return replace(state, bytes=newest.bytes, gated=newest.gated, moved=moved)
    except Exception:  # whatever the publisher answers: what it would have said stays unknown, which the state says
        return state


def _advice(name: str, source: str, error: Exception) -> str:
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return (
        f"{name}: the weights {source} are not on this machine and could not be fetched ({reason}). "
        "With a network, run `bench weights fetch`; without one, use --weights random or a local file by --checkpoint"
    )
