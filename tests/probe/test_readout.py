"""The readout against perceptrons written out in float64 on explicitly upsampled features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench import native
from bench.probe.features.map import FeatureMap
from bench.probe.readout import patches
from bench.probe.readout.readout import HEAD_CHANNELS, Readout
from bench.types import UserError

ALL = tuple(HEAD_CHANNELS)


def built_variants() -> list[str]:
    """The builds of the kernel that this processor can run."""
    capability = torch.backends.cpu.get_cpu_capability()
    able = ["base"] + ["avx2"] * ("AVX" in capability) + ["avx512"] * ("AVX512" in capability)
    return [v for v in able if list(Path(native.__file__).parent.glob(f"_readout_{v}.*"))]


@pytest.fixture(params=["torch", "base", "avx2", "avx512"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The plain torch path and every build of the kernel in turn."""
    library = None
    if request.param != "torch":
        if request.param not in built_variants():
            pytest.skip(f"the {request.param} build of the kernel is not there, or this processor cannot run it")
        library = native.build("readout", request.param)
    monkeypatch.setattr(patches.native, "load", lambda kernel: library)
    return str(request.param)


def patch_features(images: int, h: int, w: int, channels: int, height: int, width: int, seed: int = 0) -> FeatureMap:
    values = torch.randn(images, h, w, channels, generator=torch.Generator().manual_seed(seed))
    return FeatureMap(values, height, width, per_pixel=False)


def loss_gradients(outputs: dict[str, Tensor], weights: dict[str, Tensor], readout: Readout) -> list[Tensor]:
    loss = sum(((outputs[head] * weights[head]).sum() for head in outputs), start=torch.zeros(()))
    return list(torch.autograd.grad(loss, list(readout.parameters())))


def oracle(
    readout: Readout, features: FeatureMap, pixels: Tensor | None, seed: int = 0
) -> tuple[dict[str, Tensor], dict[str, Tensor], list[Tensor]]:
    """Outputs in float64, random weights of a linear loss, and the gradients of all parameters.

    The gradient of a ReLU jumps at zero. Pixels that have a hidden unit within rounding of it get no weight in the loss.
    """
    maps = features.values.double().permute(0, 3, 1, 2)
    upsampled = F.interpolate(maps, size=(features.height, features.width), mode="bilinear", align_corners=False)
    x = upsampled.permute(0, 2, 3, 1).reshape(-1, features.channels)
    x = x if pixels is None else x[pixels]
    generator = torch.Generator().manual_seed(seed)
    outputs, weights = {}, {}
    gradients: list[Tensor] = []
    for head, stack in readout.heads.items():
        w1, b1, w2, b2 = (p.detach().double().requires_grad_() for p in stack.parameters())
        before = x @ w1.T + b1
        outputs[head] = before.clamp(min=0) @ w2.T + b2
        smooth = (before.abs() > 1e-5).all(dim=1, keepdim=True)
        weights[head] = torch.randn(outputs[head].shape, generator=generator) * smooth
        gradients += torch.autograd.grad((outputs[head] * weights[head]).sum(), (w1, b1, w2, b2))
        assert len(x) == 0 or smooth.double().mean() > 0.5
    return {head: output.detach() for head, output in outputs.items()}, weights, gradients


def assert_close(found: Tensor, true: Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == true.shape
    assert (found.double() - true).norm() <= tolerance * true.norm()


CASES: dict[str, tuple[FeatureMap, Callable[[int], Tensor | None]]] = {
    "upsampled four times": (patch_features(2, 5, 6, 32, 20, 24), lambda n: None),
    "upsampled three times, masked": (
        patch_features(2, 6, 4, 32, 18, 12),
        lambda n: (torch.rand(n, generator=torch.Generator().manual_seed(1)) < 0.6).nonzero()[:, 0],
    ),
    "sixteen times, one pixel in ten": (patch_features(1, 3, 4, 16, 48, 64), lambda n: torch.arange(3, n, 10)),
    "odd sizes": (patch_features(3, 5, 7, 48, 23, 17), lambda n: None),
    "hidden width that is no multiple of 16": (patch_features(1, 4, 4, 21, 9, 10), lambda n: None),
    "many tiles of hidden units": (patch_features(1, 3, 3, 80, 9, 9), lambda n: None),
    "one patch": (patch_features(2, 1, 1, 16, 5, 3), lambda n: None),
    "one row of patches": (patch_features(1, 1, 6, 16, 4, 20), lambda n: None),
    "fewer pixels than patches": (patch_features(2, 8, 8, 16, 3, 5), lambda n: None),
    "pixels and patches the same": (patch_features(1, 6, 5, 16, 6, 5), lambda n: None),
    "the last pixel only": (patch_features(2, 4, 4, 16, 16, 16), lambda n: torch.tensor([n - 1])),
    "no pixel": (patch_features(1, 4, 4, 16, 16, 16), lambda n: torch.zeros(0, dtype=torch.int64)),
}


@pytest.mark.parametrize("case", CASES)
def test_patch_path_equals_the_oracle(backend: str, case: str) -> None:
    features, select = CASES[case]
    pixels = select(len(features.values) * features.height * features.width)
    readout = Readout(features.channels, ALL, seed=2)
    outputs, weights, gradients = oracle(readout, features, pixels)
    found = readout(features, pixels)
    assert list(found) == list(ALL)
    for head in ALL:
        assert_close(found[head], outputs[head])
    for own, true in zip(loss_gradients(found, weights, readout), gradients, strict=True):
        assert_close(own, true)


@pytest.mark.parametrize(
    "heads", [("colour_dc", "colour_rest"), ("position", "opacity", "log_scale", "rotation"), ("opacity",)]
)
def test_heads_of_the_modes(backend: str, heads: tuple[str, ...]) -> None:
    features = patch_features(1, 4, 5, 24, 16, 20)
    readout = Readout(24, heads, hidden=40, seed=3)
    outputs, weights, gradients = oracle(readout, features, None)
    found = readout(features)
    assert {head: output.shape[1] for head, output in found.items()} == {head: HEAD_CHANNELS[head] for head in heads}
    for head in heads:
        assert_close(found[head], outputs[head])
    for own, true in zip(loss_gradients(found, weights, readout), gradients, strict=True):
        assert_close(own, true)


@settings(max_examples=30)
@given(
    patches=st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
    grid=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    channels=st.integers(1, 40),
    keep=st.floats(0, 1),
)
def test_any_shape(patches: tuple[int, int, int], grid: tuple[int, int], channels: int, keep: float) -> None:
    features = patch_features(*patches, channels, *grid)
    selected = torch.rand(patches[0] * grid[0] * grid[1], generator=torch.Generator().manual_seed(4)) <= keep
    pixels = selected.nonzero()[:, 0]
    readout = Readout(channels, ("rotation", "colour_rest"), hidden=32, seed=5)
    with torch.no_grad():  # values from -4 to 4 in all units: wide of zero at most pixels
        for stack in readout.heads.values():
            stack[0].bias += torch.linspace(-4, 4, 32)  # type: ignore[index]
    outputs, weights, gradients = oracle(readout, features, pixels)
    found = readout(features, pixels)
    for head in found:
        assert_close(found[head], outputs[head])
    for own, true in zip(loss_gradients(found, weights, readout), gradients, strict=True):
        assert_close(own, true)


@pytest.mark.skipif(native.load("readout") is None, reason=native.missing("readout"))
def test_threads_change_nothing() -> None:
    features = patch_features(3, 7, 6, 32, 28, 24)
    pixels = (torch.rand(3 * 28 * 24, generator=torch.Generator().manual_seed(6)) < 0.7).nonzero()[:, 0]
    weights = {head: torch.randn(len(pixels), out) for head, out in HEAD_CHANNELS.items()}
    results = []
    for threads in (1, 2, 3, 8, 100, 1):
        readout = Readout(32, ALL, seed=7, threads=threads)
        found = readout(features, pixels)
        results.append([*found.values(), *loss_gradients(found, weights, readout)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_gradients_by_finite_differences() -> None:
    generator = torch.Generator().manual_seed(8)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    values, pixels = random(2, 3, 2, 3), torch.tensor([0, 3, 4, 20, 39])
    layers = [random(5, 3), random(5), random(5, 3), random(5), random(3, 5), random(3), random(1, 5), random(1)]

    def evaluate(values: Tensor, *p: Tensor) -> tuple[Tensor, ...]:
        first, second = [(p[0], p[1]), (p[2], p[3])], [(p[4], p[5]), (p[6], p[7])]
        return patches.patch_readout(values, (5, 4), pixels, first, second)

    assert torch.autograd.gradcheck(evaluate, (values, *layers))


def test_blocks_of_plain_torch_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches.native, "load", lambda kernel: None)
    features, readout = patch_features(2, 4, 4, 16, 13, 12), Readout(16, ALL, seed=9)
    outputs, weights, gradients = oracle(readout, features, None)
    monkeypatch.setitem(patches._BLOCK_FLOATS, "cpu", 3 * 12 * 16 * len(ALL))  # three rows of pixels, one at the end
    found = readout(features)
    for head in ALL:
        assert_close(found[head], outputs[head])
    for own, true in zip(loss_gradients(found, weights, readout), gradients, strict=True):
        assert_close(own, true)


def test_one_output_alone_may_be_differentiated(backend: str) -> None:
    features, readout = patch_features(1, 3, 3, 16, 9, 9), Readout(16, ("position", "colour_rest"), seed=10)
    readout(features)["position"].sum().backward()
    per_pixel = readout.forward_pixels(features.upsampled().flatten(0, 2))["position"].sum()
    true = torch.autograd.grad(per_pixel, list(readout.heads["position"].parameters()))
    for own, expected in zip(readout.heads["position"].parameters(), true, strict=True):
        assert own.grad is not None
        assert_close(own.grad, expected.double(), 1e-4)
    assert all(not p.grad.any() for p in readout.heads["colour_rest"].parameters() if p.grad is not None)


def test_a_nan_in_the_features_is_not_hidden(backend: str) -> None:
    features = patch_features(1, 3, 3, 16, 9, 9)
    features.values[0, 1, 1] = float("nan")
    found = Readout(16, ALL, seed=11)(features)
    assert all(output.reshape(9, 9, -1)[4, 4].isnan().all() for output in found.values())


@pytest.mark.parametrize("pixel", [-1, 81, 1 << 40])
def test_pixels_outside_the_grid(backend: str, pixel: int) -> None:
    with pytest.raises(UserError, match="flat indices into the grid"):
        Readout(16, ALL)(patch_features(1, 3, 3, 16, 9, 9), torch.tensor([0, pixel]))


def test_bad_input() -> None:
    features = patch_features(1, 3, 3, 16, 9, 9)
    with pytest.raises(UserError, match="int64"):
        Readout(16, ALL)(features, torch.tensor([0, 1], dtype=torch.int32))
    with pytest.raises(UserError, match="8 channels"):
        Readout(8, ALL)(features)
    for heads in ((), ("position", "position"), ("colour",)):
        with pytest.raises(UserError, match="each once"):
            Readout(16, heads)


# ------------------------------------------------------------------------------------------------------- the per-pixel path


def test_per_pixel_features_take_the_pixel_path() -> None:
    values = torch.randn(2, 4, 5, 6)
    readout, pixels = Readout(6, ("colour_dc",), seed=12), torch.tensor([1, 7, 39])
    found = readout(FeatureMap(values, 4, 5, per_pixel=True), pixels)["colour_dc"]
    w1, b1, w2, b2 = readout.heads["colour_dc"].parameters()
    for row, pixel in enumerate([(0, 0, 1), (0, 1, 2), (1, 3, 4)]):
        expected = w2 @ (w1 @ values[pixel] + b1).clamp(min=0) + b2
        torch.testing.assert_close(found[row], expected, rtol=1e-5, atol=1e-6)


def test_detached_heads_pass_no_gradient_to_the_features() -> None:
    readout = Readout(6, ("position", "colour_rest"), seed=13)
    features = torch.randn(7, 6, requires_grad=True)
    both = readout.forward_pixels(features, detach_for={"colour_rest"})
    (found,) = torch.autograd.grad(both["position"].sum() + both["colour_rest"].sum(), features)
    (position,) = torch.autograd.grad(readout.forward_pixels(features)["position"].sum(), features)
    assert torch.equal(found, position)
    assert position.any()


def test_patch_features_that_want_a_gradient_get_it() -> None:
    values = torch.randn(1, 3, 3, 8, requires_grad=True)
    readout = Readout(8, ("position", "colour_rest"), seed=14)
    both = readout(FeatureMap(values, 6, 6, per_pixel=False), detach_for={"colour_rest"})
    (found,) = torch.autograd.grad(both["position"].sum() + both["colour_rest"].sum(), values)
    upsampled = F.interpolate(values.permute(0, 3, 1, 2), size=(6, 6), mode="bilinear", align_corners=False)
    alone = readout.heads["position"](upsampled.permute(0, 2, 3, 1))
    (expected,) = torch.autograd.grad(alone.sum(), values)
    torch.testing.assert_close(found, expected)


def test_initialisation_is_the_default_one_and_seeded() -> None:
    state = torch.get_rng_state()
    readout = Readout(6, ALL, seed=15)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(15)
    for head in ALL:
        for layer, sizes in ((0, (6, 6)), (2, (6, HEAD_CHANNELS[head]))):
            true = torch.nn.Linear(*sizes)
            assert torch.equal(readout.heads[head].get_parameter(f"{layer}.weight"), true.weight)
            assert torch.equal(readout.heads[head].get_parameter(f"{layer}.bias"), true.bias)
    assert sum(p.numel() for p in readout.parameters()) == 6 * (6 * 6 + 6) + 59 * 6 + 59
