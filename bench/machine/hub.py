"""What the hub says of a repository: how large its files are, whether it asks for an agreement, whether it has moved on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: What the hub's newest commit is beside an earlier one: the same, another with the same files, another with other files.
Moved = Literal["newest", "same files", "other files"]


@dataclass(frozen=True)
class Published:
    """What the hub says of some files of a repository at one commit.

    Attributes:
        revision: The commit.
        gated: Whether an agreement is asked for.
        sizes: In bytes, by file; None where the hub does not say.
        contents: What identifies each file's content: the sha256 of large ones, git's identifier of others; None where the
            repository has no such file.
    """

    revision: str
    gated: bool
    sizes: Mapping[str, int | None]
    contents: Mapping[str, str | None]

    @property
    def bytes(self) -> int | None:
        """All files together; None where one is unknown."""
        known = [size for size in self.sizes.values() if size is not None]
        return sum(known) if len(known) == len(self.sizes) else None


def snapshot_of(path: Path) -> str:
    """The commit that a file of the hub's cache is of; "" for other files."""
    places = path.parts
    return next((places[at + 1] for at, name in enumerate(places[:-2]) if name == "snapshots"), "")


def published(repository: str, files: Sequence[str], timeout: float, revision: str | None = None) -> Published:
    """Ask the hub. revision: the newest where it is None. Raises whatever its client raises."""
    from huggingface_hub import HfApi

    found = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=timeout)
    known = {each.rfilename: each for each in found.siblings or ()}
    held = {file: known.get(file) for file in files}
    contents = {
        file: None if each is None else (each.lfs.sha256 if each.lfs else each.blob_id) for file, each in held.items()
    }
    sizes = {file: None if each is None else each.size for file, each in held.items()}
    return Published(found.sha or "", bool(found.gated), sizes, contents)


def moved(repository: str, revision: str, newest: Published, timeout: float) -> Moved:
    """What the newest commit is beside an earlier one. Raises whatever the hub's client raises."""
    if revision == newest.revision:
        return "newest"
    before = published(repository, list(newest.contents), timeout, revision)
    return "same files" if before.contents == newest.contents and None not in before.contents.values() else "other files"
