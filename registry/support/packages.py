"""Models that come from somebody else's package: importing it, and finding the files of its weights."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.core.text import listed
from bench.machine.weights import locate, sources
from bench.types import Model, Unavailable, UserError, Weights

if TYPE_CHECKING:
    import torch


def required(module: str, name: str, remedy: str) -> Any:
    """An optional module. Raises Unavailable, saying which model needs it and what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise Unavailable(f"{name}: needs the package {package} ({error}); {remedy}") from error


def attribute_of(module: str, attribute: str, name: str, remedy: str) -> Any:
    """What an optional module holds. Raises Unavailable as `required` does, and where another of its name lacks it."""
    found = required(module, name, remedy)
    if not hasattr(found, attribute):
        place = getattr(found, "__file__", module)
        raise Unavailable(f"{name}: {place} has no {attribute}: it is another package {module.partition('.')[0]}; {remedy}")
    return getattr(found, attribute)


def _must_be_whole(model: Any, file: Path) -> None:
    """Raises UserError where a parameter or persistent buffer of a network is not in its safetensors file, or of another
    shape there: the package left it as it was initialised."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as content:
        stored = {name: tuple(content.get_slice(name).get_shape()) for name in content.keys()}  # noqa: SIM118 no mapping
    names: dict[int, list[str]] = {}  # a tensor that two modules share is stored under one of its names
    state = model.state_dict(keep_vars=True)
    for name, tensor in state.items():
        names.setdefault(id(tensor), []).append(name)
    faults = []
    for alike in names.values():
        shape = tuple(state[alike[0]].shape)
        found = [stored[name] for name in alike if name in stored]
        if not found:
            faults.append(alike[0])
        elif shape not in found:
            faults.append(f"{alike[0]}, which is {found[0]} and not {shape}")
    if faults:
        raise UserError(f"{file}: the weights do not fit: {len(faults)} missing or misshapen, first {faults[0]}")


class LibraryModel(Model):
    """A model with weights in files. weights_files: under the card's source, where the source names no file."""

    weights_files: ClassVar[tuple[str, ...]] = ("config.json", "model.safetensors")
    weights: Weights = "pretrained"
    checkpoint: Path | None = None

    def module(self, name: str) -> Any:
        """A module of one of the packages that the model `needs`. Raises Unavailable where it cannot be imported."""
        return required(name, self.card.name, self.needs[name.partition(".")[0]])

    def weights_file(self) -> Path:
        """The file of the weights: --checkpoint, or the publisher's. Raises Unavailable where it cannot be had."""
        self._must_be_pretrained()
        (source,) = sources(type(self))
        return self.checkpoint or locate(source, self.card.name)

    def weights_folder(self, library: str) -> Path:
        """The folder of configuration and weights, as `library` saves it: --checkpoint, or the publisher's.

        Raises Unavailable where it cannot be had, UserError where --checkpoint is no such folder.
        """
        self._must_be_pretrained()
        if self.checkpoint is None:
            found, *_ = (locate(source, self.card.name) for source in sources(type(self)))
            return found.parent
        first = self.weights_files[0]
        if not (self.checkpoint / first).is_file():
            raise UserError(f"{self.checkpoint}: expected a folder as {library} saves it: {first} and weights")
        return self.checkpoint

    def hub_folder(self) -> Path:
        """The folder of a network whose class has the hub's from_pretrained.

        Raises as `weights_folder` does, UserError where --checkpoint lacks any of the files.
        """
        folder = self.weights_folder("huggingface_hub")
        absent = [file for file in self.weights_files if not (folder / file).is_file()]
        if absent and self.checkpoint is not None:
            raise UserError(f"{folder}: expected {listed(self.weights_files)}; it has no {listed(absent)}")
        return folder

    def from_hub(self, network: Any, device: torch.device) -> Any:
        """A network whose class has the hub's from_pretrained, built from the folder of its weights.

        Raises Unavailable and UserError as `hub_folder` does, UserError where the file does not hold all of the network.
        """
        folder = self.hub_folder()
        built = network.from_pretrained(str(folder))
        _must_be_whole(built, folder / "model.safetensors")
        return built.to(device).eval()

    def _must_be_pretrained(self) -> None:
        if self.weights == "random":
            raise Unavailable(f"{self.card.name}: its package builds no network without its checkpoint; run it with weights")
