from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from scipy.ndimage import correlate1d
from torch import Tensor

from bench.metrics import image
from bench.probe.track import ProbeTrack
from bench.types import Unavailable


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    photo = torch.rand(40, 56, 3, generator=generator)
    return (photo + 0.2 * torch.randn(40, 56, 3, generator=generator)).clamp(0, 1), photo


@pytest.fixture(autouse=True)
def _forget_network() -> Iterator[None]:
    image._load_lpips.cache_clear()
    yield
    image._load_lpips.cache_clear()


def test_psnr_by_hand() -> None:
    black = torch.zeros(2, 2, 3)
    assert image.psnr(black + 0.1, black) == pytest.approx(20.0, abs=1e-5)
    one_value = black.clone()
    one_value[0, 0, 0] = 1.0  # a mean squared error of 1/12
    assert image.psnr(one_value, black) == pytest.approx(10 * math.log10(12))
    assert image.psnr(black, black) == math.inf


def test_ssim_against_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    from skimage.metrics import structural_similarity

    x, y = (side.double().numpy() for side in pair)
    _, reference = structural_similarity(
        x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=2, full=True
    )
    ours = image.ssim_map(*(side.double() for side in pair)).numpy()
    np.testing.assert_allclose(ours[5:-5, 5:-5], reference[5:-5, 5:-5], atol=1e-9)  # it mirrors at the border


def test_ssim_pads_with_zeros(pair: tuple[Tensor, Tensor]) -> None:
    window = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blurred(values: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            values = correlate1d(values, window, axis=axis, mode="constant")
        return values

    x, y = (side.double().numpy() for side in pair)
    mx, my = blurred(x), blurred(y)
    vx, vy, vxy = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
    expected = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    assert image.ssim(*(side.double() for side in pair)) == pytest.approx(expected.mean(), abs=1e-12)
    assert image.ssim(*pair) == pytest.approx(expected.mean(), abs=1e-5)


def test_equal_pictures_are_perfect(pair: tuple[Tensor, Tensor]) -> None:
    photo = pair[1]
    assert image.ssim(photo, photo) == pytest.approx(1.0, abs=1e-6)
    assert image.haarpsi(photo, photo) == pytest.approx(1.0, abs=1e-5)


def test_haarpsi_falls_with_noise_and_says_what_is_too_small(pair: tuple[Tensor, Tensor]) -> None:
    noisy, photo = pair
    little = photo + 0.1 * (noisy - photo)
    assert 0 <= image.haarpsi(noisy, photo) < image.haarpsi(little, photo) <= 1
    with pytest.raises(ValueError, match="at least 16 pixels"):
        image.haarpsi(photo[:15], photo[:15])


def test_lpips_without_its_backbone_is_a_stated_gap_and_asks_no_network(
    pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: pytest.fail("asked the network"))
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"vgg16.*\.pth.*they are not there"):
            image.lpips(*pair)


def test_the_backbone_is_the_one_that_the_package_loads() -> None:
    weights = torchvision.models.VGG16_Weights.IMAGENET1K_V1
    assert f"torchhub:{weights.url}" == image.LPIPS_BACKBONE
    (named,) = ProbeTrack.weights
    assert f"{weights.meta['_file_size'] * 2**20 / 1e9:.2f} GB" in named


def test_a_broken_checkpoint_is_a_stated_gap(
    pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vgg16-397923af.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(Unavailable, match=r"vgg16-397923af\.pth"):
        image.lpips(*pair)


def test_lpips_is_fed_both_ways(pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """The network's arithmetic with a random backbone: the paper's value from [0, 1], the correct one from [-1, 1]."""
    import lpips

    with torch.random.fork_rng():
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval()
    monkeypatch.setattr(image, "_load_lpips", _Remembered(network))
    plain, rescaled = image.lpips(*pair)
    x, y = (side.permute(2, 0, 1)[None] for side in pair)
    assert plain == pytest.approx(network(x, y).item(), rel=1e-4)
    assert rescaled == pytest.approx(network(x, y, normalize=True).item(), rel=1e-4)
    assert plain != pytest.approx(rescaled, rel=1e-2)
    assert image.lpips(pair[1], pair[1]) == (0.0, 0.0)


class _Remembered:
    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def __call__(self, device: torch.device) -> torch.nn.Module:
        return self.network

    def cache_clear(self) -> None: ...
