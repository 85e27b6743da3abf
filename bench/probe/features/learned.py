"""Learned upsamplers of features, through their authors' code: AnyUp, NAF, LoftUp, JAFAR and FeatUp.

None is on the Python package index. Four are read from PyTorch's hub folder, at a pinned commit that the user puts there;
FeatUp is the package that its repository installs. Nothing is fetched but their weights, by their own code. Each map is
brought to FACTOR vectors along a token's side, as the classical filter's is.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.core.absent import is_installed
from bench.core.errors import Unavailable, UserError
from bench.core.names import Part
from bench.core.text import cut
from bench.machine.pictures.images import IMAGENET
from bench.machine.seeding import SEED, seeded_generators
from bench.machine.tensors import read_content
from bench.machine.weights import locate

FACTOR = 4
ANY_MODEL = ""  #: stands for every model, where an upsampler is for none in particular
_FEATUP = "torchhub:https://marhamilresearch4.blob.core.windows.net/feature-upsampling-public/pretrained/no_norm/"
_JAFAR = "torchhub:https://github.com/PaulCouairon/JAFAR/releases/download/Weights/"
_MOST_LETTERS = 400  #: of PyTorch's reason why weights do not fit

Apply = Callable[[Any, Tensor, Tensor, tuple[int, int]], Tensor]


@dataclass(frozen=True)
class Upsampler:
    """A learned upsampler.

    Attributes:
        title: As its paper calls it.
        license: Of code and weights.
        paper: arXiv id.
        repository: "owner/name" on GitHub.
        commit: Which of its states was read for this.
        entries: What its hub calls the weights for a model, by the model's name here, or for ANY_MODEL.
        packages: What it imports beyond PyTorch.
        apply: (network, features (B, C, h, w), photos (B, 3, H, W), size) -> (B, C, h', w'), through its own signature.
        code: A file of its repository that must be in the hub's folder; "" where its repository installs a package.
        build: (folder, entry, channels, whether trained) -> the network; None where the hub builds it.
    """

    title: str
    license: str
    paper: str
    repository: str
    commit: str
    entries: Mapping[str, str]
    packages: tuple[str, ...]
    apply: Apply
    code: str = "hubconf.py"
    build: Callable[[Path, str, int, bool], nn.Module] | None = None

    @property
    def folder(self) -> Path:
        """Where PyTorch's hub keeps this commit."""
        return Path(torch.hub.get_dir()) / f"{self.repository.replace('/', '_')}_{self.commit}"

    def entry(self, part: Part) -> str:
        """What its hub calls the weights for a model. Raises UserError where its authors published none for it."""
        model = str(Part(part.base, part.size, part.parameters))
        found = self.entries.get(ANY_MODEL) or self.entries.get(model)
        if found is None:
            raise UserError(
                f"{part}: {self.title}'s authors published weights for {', '.join(self.entries)}, not for {model}"
            )
        return found

    def check(self) -> None:
        """Raises Unavailable, saying what to install, where its code is not on this machine."""
        if self.code and not (self.folder / self.code).is_file():
            name, folder = f"{self.repository}:{self.commit}", self.folder
            # PyTorch fetches repositories for its hub alone.
            by_hub = f"python -c \"import torch; torch.hub.list('{name}', skip_validation=True, trust_repo=True)\""
            by_git = f"git clone https://github.com/{self.repository} {folder} && git -C {folder} checkout {self.commit}"
            command = by_hub if self.build is None else by_git
            raise Unavailable(
                f"{self.title}: needs its authors' code in PyTorch's hub folder ({folder}); fetch it with {command}"
            )
        for package in self.packages:
            if not is_installed(package):
                raise Unavailable(f"{self.title}: needs the package {package}; see https://github.com/{self.repository}")

    def load(self, part: Part, channels: int, trained: bool) -> Any:
        """Its network for a model's features, seeded where it is not trained.

        Raises as `entry` and `check` do, UserError for a file of weights that does not fit.
        """
        entry = self.entry(part)
        self.check()
        with seeded_generators(SEED):
            if self.build is not None:
                network = self.build(self.folder, entry, channels, trained)
            else:
                network = torch.hub.load(str(self.folder), entry, source="local", pretrained=trained)
        return network.eval().requires_grad_(False)

    @torch.no_grad()
    def upsampled(self, network: Any, values: Tensor, photos: Tensor) -> Tensor:
        """Features (B, h, w, C) at (B, h*FACTOR, w*FACTOR, C), guided by photos (B, 3, H, W) in [0, 1], one by one."""
        height, width = values.shape[1:3]
        size = height * FACTOR, width * FACTOR
        mean, deviation = (photos.new_tensor(each)[:, None, None] for each in IMAGENET)
        guides = (photos - mean) / deviation
        features = values.permute(0, 3, 1, 2)
        fine = [self.apply(network, features[i : i + 1], guides[i : i + 1], size) for i in range(len(values))]
        return torch.cat([F.adaptive_avg_pool2d(each, size) for each in fine]).permute(0, 2, 3, 1).float()


def _to_size(network: Any, features: Tensor, photos: Tensor, size: tuple[int, int]) -> Tensor:
    result: Tensor = network(photos, features, output_size=size)
    return result


def _to_photo(network: Any, features: Tensor, photos: Tensor, size: tuple[int, int]) -> Tensor:
    """LoftUp gives one vector for every pixel of the photo that guides it."""
    guide = F.interpolate(photos, size=size, mode="bilinear", antialias=True, align_corners=False)
    result: Tensor = network(features, guide)
    return result


def _by_sixteen(network: Any, features: Tensor, photos: Tensor, size: tuple[int, int]) -> Tensor:
    """FeatUp's stack doubles four times."""
    result: Tensor = network(features, photos)
    return result


def _on_the_photos_device(network: Any, features: Tensor, photos: Tensor, size: tuple[int, int]) -> Tensor:
    """JAFAR makes coordinates on the default device."""
    with photos.device:
        result: Tensor = network(photos, features, size)
    return result


def _jafar(folder: Path, entry: str, channels: int, trained: bool) -> nn.Module:
    module = _imported(folder, "src.upsampler.jafar", ("src", "utils"))
    # Its own code asks for them on a GPU, wherever the network is.
    module.create_coordinate = functools.partial(module.create_coordinate, device=None)
    network: nn.Module = module.JAFAR(v_dim=channels)
    if trained:
        _load(network, locate(f"{_JAFAR}{entry}.pth", "JAFAR"), "jafar")
    return network


def _imported(folder: Path, module: str, names: tuple[str, ...]) -> Any:
    """A module of a repository that is no package. names: its top folders, for this import alone."""

    def taken() -> dict[str, Any]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}

    others = taken()
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(str(folder))
        taken()
        sys.modules.update(others)


def _featup(folder: Path, entry: str, channels: int, trained: bool) -> nn.Module:
    network: nn.Module = importlib.import_module("featup.upsamplers").get_upsampler("jbu_stack", channels)
    if trained:
        _load(network, locate(f"{_FEATUP}{entry}_jbu_stack_cocostuff.ckpt", "FeatUp"), "state_dict", "upsampler.")
    return network


def _load(network: nn.Module, path: Path, entry: str, prefix: str = "") -> None:
    """Loads what stands under a prefix in an entry of a checkpoint. Raises UserError where that does not fit."""
    content = read_content(path)
    state = content.get(entry) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise UserError(f"{path}: not a checkpoint of this network: it has no weights under {entry!r}")
    own = {str(key).removeprefix(prefix): value for key, value in state.items() if str(key).startswith(prefix)}
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        reason = cut(" ".join(str(error).split()), _MOST_LETTERS)
        raise UserError(f"{path}: this checkpoint does not fit the network: {reason}") from error


UPSAMPLERS = MappingProxyType(
    {
        "anyup": Upsampler(
            title="AnyUp",
            license="CC-BY-4.0",
            paper="arXiv:2510.12764",
            repository="wimmerth/anyup",
            commit="351807a9c4287368732cc247f26c7c81c9139af4",
            entries=MappingProxyType({ANY_MODEL: "anyup_multi_backbone"}),
            packages=(),
            apply=_to_size,
        ),
        "naf": Upsampler(
            title="NAF",
            license="Apache-2.0",
            paper="arXiv:2511.18452",
            repository="valeoai/NAF",
            commit="ad4e24d2ec32a2fbcccb3beaf7107bc3caa7038a",
            entries=MappingProxyType({ANY_MODEL: "naf"}),
            packages=("einops", "natten"),
            apply=_to_size,
        ),
        "loftup": Upsampler(
            title="LoftUp",
            license="MIT",
            paper="arXiv:2504.14032",
            repository="andrehuang/loftup",
            commit="6620d9bcde4c1af5cddedde6b9aaed6d4174a799",
            entries=MappingProxyType(
                {
                    "dinov2:S": "loftup_dinov2s",
                    "dinov2": "loftup_dinov2b",
                    "dinov2-reg:S": "loftup_dinov2s_reg",
                    "dinov2-reg": "loftup_dinov2b_reg",
                    "clip": "loftup_clip",
                    "siglip2": "loftup_siglip2",
                }
            ),
            packages=("einops",),
            apply=_to_photo,
        ),
        "jafar": Upsampler(
            title="JAFAR",
            license="Apache-2.0",
            paper="arXiv:2506.11136",
            repository="PaulCouairon/JAFAR",
            commit="94d4d5456ff3c719d111b9a26ead3813e089302b",
            entries=MappingProxyType(
                {
                    "dinov2:S": "vit_small_patch14_dinov2.lvd142m",
                    "dinov2": "vit_base_patch14_dinov2.lvd142m",
                    "dinov2-reg:S": "vit_small_patch14_reg4_dinov2",
                }
            ),
            packages=("einops",),
            apply=_on_the_photos_device,
            code="src/upsampler/jafar.py",
            build=_jafar,
        ),
        "featup": Upsampler(
            title="FeatUp",
            license="MIT",
            paper="arXiv:2403.10516",
            repository="mhamilton723/FeatUp",
            commit="6b5a6c0e91f75e69194807128dcbc39c3084a30d",
            entries=MappingProxyType({"dino:S": "dino16", "dinov2:S": "dinov2", "clip": "clip"}),
            packages=("featup",),
            apply=_by_sixteen,
            code="",
            build=_featup,
        ),
    }
)
