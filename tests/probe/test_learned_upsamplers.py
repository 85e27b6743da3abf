"""Learned upsamplers against stand-ins with the signatures of their authors' code, read at the commits that are pinned."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.core.cells import Cell
from bench.core.names import Part
from bench.core.track import Settings
from bench.probe.features import composite, learned
from bench.probe.features.composite import build_provider, card_of, parse_features
from bench.probe.features.learned import UPSAMPLERS
from bench.run.keys import cell_key
from bench.types import FeatureInput, Unavailable, UserError

CPU = torch.device("cpu")
#: What each hub has: functions with these parameters, and the forward of what they give. All enlarge bilinearly, and add the
#: guide's mean, so that a guide that is not normalised tells.
_NETWORK = """
import torch, torch.nn.functional as F
class Network(torch.nn.Module):
    def __init__(self, trained):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()) if trained else torch.rand(()))
    def enlarged(self, image, features, size):
        assert image.ndim == features.ndim == 4 and image.shape[1] == 3
        return self.scale * F.interpolate(features, size=size, mode="bilinear") + image.mean()
"""
_HUBS = {
    "anyup": """
class AnyUp(Network):
    def forward(self, image, features, output_size=None, vis_attn=False, q_chunk_size=None):
        return self.enlarged(image, features, output_size if output_size is not None else image.shape[-2:])
def anyup_multi_backbone(use_natten=False, pretrained: bool = True, device='cpu'):
    return AnyUp(pretrained).to(device)
""",
    "naf": """
class NAF(Network):
    def forward(self, image, features, output_size, return_weights=False, *args, **kwargs):
        return self.enlarged(image, features, output_size)
def naf(pretrained: bool = True, device="cpu"):
    return NAF(pretrained).to(device)
""",
    "loftup": """
class LoftUp(Network):
    def forward(self, lr_feats, img):
        return self.enlarged(img, lr_feats, img.shape[-2:])
def loftup_dinov2s(pretrained=True, progress=True, **kwargs):
    return LoftUp(pretrained)
""",
}

#: src/upsampler/jafar.py and utils/img.py: modules of no package, coordinates on a GPU unless it is asked otherwise.
_JAFAR = {
    "utils/img.py": """
import torch
def create_coordinate(h, w, start=0, end=1, device="cuda", dtype=torch.float32):
    assert device is None
    return torch.linspace(start, end, h, device=device, dtype=dtype)
""",
    "src/upsampler/__init__.py": "from .jafar import JAFAR",
    "src/upsampler/jafar.py": """
import torch, torch.nn.functional as F
from utils.img import create_coordinate
class JAFAR(torch.nn.Module):
    def __init__(self, input_dim=3, qk_dim=128, v_dim=384, feature_dim=None, kernel_size=1, num_heads=4, **kwargs):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.rand(v_dim))
    def forward(self, image, features, output_size):
        assert create_coordinate(*image.shape[-2:]).device == image.device
        fine = F.interpolate(features, size=output_size, mode="bilinear")
        return self.scale[:, None, None] * fine + image.mean()
""",
}


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for name, code in _HUBS.items():
        UPSAMPLERS[name].folder.mkdir()
        (UPSAMPLERS[name].folder / "hubconf.py").write_text(_NETWORK + code)
    for file, text in _JAFAR.items():
        place = UPSAMPLERS["jafar"].folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    package, module = types.ModuleType("featup"), types.ModuleType("featup.upsamplers")

    def get_upsampler(upsampler: str, dim: int) -> nn.Module:
        assert upsampler == "jbu_stack"
        return Stack(dim)

    class Stack(nn.Module):
        """JBUStack: doubles four times; its last projection is as wide as the features."""

        def __init__(self, feat_dim: int) -> None:
            super().__init__()
            self.fixup_proj = nn.Conv2d(feat_dim, feat_dim, 1)

        def forward(self, source: Tensor, guidance: Tensor) -> Tensor:
            fine = F.interpolate(source, scale_factor=16.0, mode="bilinear")
            return fine + 0.1 * self.fixup_proj(fine) + guidance.mean()

    module.get_upsampler = get_upsampler  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "featup", package)
    monkeypatch.setitem(sys.modules, "featup.upsamplers", module)
    monkeypatch.setattr(learned, "is_installed", lambda package: True)


def _provider(name: str, weights: Any = "random") -> Any:
    """The upsampled provider, its own network replaced by a map of known values."""
    provider: Any = build_provider(name, weights)
    grid = torch.rand(2, 4, 6, provider.card.channels, generator=torch.Generator().manual_seed(0))
    provider.provider = types.SimpleNamespace(
        load=lambda device: None, extract_scene=lambda scene: grid, covered=lambda images: images
    )
    provider.grid = grid
    return provider


def _fetched(content: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file of weights is one of this content. The sources that are asked for."""
    asked: list[str] = []
    torch.save(content, folder / "weights.pth")

    def locate(source: str, name: str) -> Path:
        asked.append(source)
        return folder / "weights.pth"

    monkeypatch.setattr(learned, "locate", locate)
    return asked


def _photos() -> Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def _guides(photos: Tensor) -> Tensor:
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (photos - mean[:, None, None]) / deviation[:, None, None]


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("name", ["daisy@anyup", "daisy@naf", "dinov2:S@loftup"])
def test_each_is_called_by_its_own_signature_photo_by_photo(name: str) -> None:
    provider = _provider(name, "pretrained")
    provider.load(CPU)
    found = provider.extract_scene(FeatureInput(_photos()))
    expected = F.interpolate(provider.grid.permute(0, 3, 1, 2), scale_factor=4.0, mode="bilinear").permute(0, 2, 3, 1)
    offset = _guides(_photos()).mean(dim=(1, 2, 3))[:, None, None, None]
    assert found.shape == (2, 16, 24, provider.card.channels)
    if "loftup" in name:
        small = F.interpolate(_guides(_photos()), size=(16, 24), mode="bilinear", antialias=True)
        offset = small.mean(dim=(1, 2, 3))[:, None, None, None]
    assert torch.allclose(found, expected + offset, atol=1e-5)


@pytest.mark.usefixtures("_installed")
def test_featup_is_its_package_and_its_sixteen_vectors_are_averaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"upsampler.fixup_proj.weight": torch.zeros(384, 384, 1, 1), "upsampler.fixup_proj.bias": torch.zeros(384)}
    content = {"state_dict": {**own, "model.1.norm.weight": torch.ones(384), "scale_net.x": torch.ones(1)}}
    asked = _fetched(content, tmp_path, monkeypatch)
    provider = _provider("dino:S@featup", "pretrained")
    provider.load(CPU)
    assert [url.rpartition("/")[2] for url in asked] == ["dino16_jbu_stack_cocostuff.ckpt"]
    fine = F.interpolate(provider.grid.permute(0, 3, 1, 2), scale_factor=16.0, mode="bilinear")
    offset = _guides(_photos()).mean(dim=(1, 2, 3))[:, None, None, None]
    expected = fine.unflatten(2, (16, 4)).unflatten(4, (24, 4)).mean(dim=(3, 5)).permute(0, 2, 3, 1) + offset
    assert torch.allclose(provider.extract_scene(FeatureInput(_photos())), expected, atol=1e-5)


@pytest.mark.usefixtures("_installed")
def test_jafar_is_its_repositorys_module_and_leaves_other_modules_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"jafar": {"scale": torch.full((384,), 2.0)}, "optimizer_jafar": {}, "cfg": Part("what the trainer was told")}
    asked = _fetched(content, tmp_path, monkeypatch)
    other = types.ModuleType("utils")
    monkeypatch.setitem(sys.modules, "utils", other)
    provider = _provider("dinov2:S@jafar", "pretrained")
    provider.load(CPU)
    assert [url.rpartition("/")[2] for url in asked] == ["vit_small_patch14_dinov2.lvd142m.pth"]
    fine = F.interpolate(provider.grid.permute(0, 3, 1, 2), scale_factor=4.0, mode="bilinear").permute(0, 2, 3, 1)
    offset = _guides(_photos()).mean(dim=(1, 2, 3))[:, None, None, None]
    assert torch.allclose(provider.extract_scene(FeatureInput(_photos())), 2 * fine + offset, atol=1e-5)
    assert sys.modules["utils"] is other
    assert not [name for name in sys.modules if name.startswith(("src", "utils."))]
    assert str(UPSAMPLERS["jafar"].folder) not in sys.path
    with pytest.raises(UserError, match="published weights for dinov2:S, dinov2, dinov2-reg:S, not for clip"):
        UPSAMPLERS["jafar"].entry(Part("clip"))


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1], "it has no weights under '{entry}'"),
        ({"other": {}}, "it has no weights under '{entry}'"),
        ({"jafar": 1, "state_dict": Part("settings")}, "it has no weights under '{entry}'"),
        ({"jafar": {}, "state_dict": {}}, r"does not fit the network: .*Missing key\(s\) in state_dict: \"{name}"),
        ({"jafar": {"scale": 1}, "state_dict": {"upsampler.fixup_proj.weight": 1}}, "does not fit the network: .*'int'"),
        (
            {"jafar": {1: torch.ones(1)}, "state_dict": {"upsampler.x": torch.ones(1)}},
            "does not fit .*: .*Unexpected",
        ),
    ],
)
@pytest.mark.parametrize(
    ("model", "entry", "name"), [("dinov2:S@jafar", "jafar", "scale"), ("dino:S@featup", "state_dict", "fixup_proj.weight")]
)
def test_a_damaged_file_of_weights_is_one_clear_error(
    model: str, entry: str, name: str, content: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fetched(content, tmp_path, monkeypatch)
    with pytest.raises(UserError, match=f"weights.pth: [^\n]*{reason.format(entry=entry, name=name)}[^\n]*$"):
        _provider(model, "pretrained").load(CPU)


@pytest.mark.usefixtures("_installed")
def test_random_weights_are_seeded_and_the_callers_random_numbers_stay() -> None:
    state = torch.random.get_rng_state()
    scales = []
    for _ in range(2):
        provider = _provider("dinov2:S@anyup", "random")
        provider.load(CPU)
        scales.append(float(provider.network.scale))
    assert scales[0] == scales[1] != 1.0
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_card_names_upsampler_and_licence() -> None:
    card = card_of("daisy@anyup")
    assert (card.name, card.stride) == ("DAISY@anyup", 4)
    assert "upsampled by 4 by AnyUp (arXiv:2510.12764)" in card.note
    assert card.license == "BSD-3-Clause; AnyUp: CC-BY-4.0"


def test_absent_code_is_told_with_the_command_that_fetches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(Unavailable, match=r"AnyUp: needs.*torch\.hub\.list\('wimmerth/anyup:[0-9a-f]{40}'"):
        parse_features("daisy@anyup")
    with pytest.raises(Unavailable, match=r"JAFAR: needs.*git clone https://github.com/PaulCouairon/JAFAR .*94d4d54"):
        parse_features("dinov2:S@jafar")
    monkeypatch.setattr(learned, "is_installed", lambda package: False)
    with pytest.raises(Unavailable, match=r"FeatUp: needs the package featup; see https://github.com/mhamilton723/FeatUp"):
        parse_features("clip@featup")


def test_two_commits_share_neither_features_nor_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keys() -> list[str]:
        models = ("daisy", "daisy@jbu", "daisy@anyup", "daisy@naf+iuvrgb")
        cells = [Cell("probe", "procedural", "room", model, "G", "simulated", "quick-v1", 0) for model in models]
        return [cell_key(cell, Settings(None, tmp_path, "cpu", "random")) for cell in cells]

    before = keys()
    other = {name: replace(each, commit="0" * 40) for name, each in UPSAMPLERS.items()}
    monkeypatch.setattr(composite, "UPSAMPLERS", other)
    assert [key == was for key, was in zip(keys(), before, strict=True)] == [True, True, False, False]
