"""TF32 and bfloat16 of the readout's products: how far they are from float32, and what stays out of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.core.protocols import PROBE_PROTOCOLS, Precision
from bench.metrics import image
from bench.probe.features.map import FeatureMap
from bench.probe.modes import mode_named
from bench.probe.probe import run_probe
from bench.probe.readout.precision import linear, tensor_cores
from bench.probe.readout.readout import HEAD_CHANNELS, Readout
from bench.probe.settings import ProbeSettings
from bench.probe.views import ProbeScene
from bench.types import Initialisation, MultiViewScene, Unavailable

ROUNDING = 2.0**-8  # of bfloat16, relative: half of the last of its 8 bits
ALL = tuple(HEAD_CHANNELS)


@pytest.fixture(autouse=True)
def _no_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_load_lpips", lambda device: Unavailable("no weights here"))


def outputs_and_gradients(precision: Precision, per_pixel: bool) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, *((12, 20) if per_pixel else (4, 5)), 32, generator=generator)
    readout = Readout(32, ALL, seed=1, precision=precision)
    found = readout(FeatureMap(values, 12, 20, per_pixel=per_pixel))
    upstream = [torch.randn(output.shape, generator=generator) for output in found.values()]
    gradients = torch.autograd.grad(list(found.values()), list(readout.parameters()), upstream)
    return [*(output.detach() for output in found.values()), *gradients]


@pytest.mark.parametrize("per_pixel", [True, False])
def test_bfloat16_is_within_its_rounding(per_pixel: bool) -> None:
    exact, rounded = (outputs_and_gradients(precision, per_pixel) for precision in ("float32", "bfloat16"))
    for number, (own, true) in enumerate(zip(rounded, exact, strict=True)):
        assert own.dtype == torch.float32
        error = ((own - true).norm() / true.norm()).item()
        if number < len(ALL):  # two products one after the other; and it is not float32 that was computed
            assert 0.1 * ROUNDING < error < 4 * ROUNDING
        else:  # a hidden unit within rounding of zero, one in some hundred, may pass a gradient on or not
            assert error < 0.1


@pytest.mark.parametrize("per_pixel", [True, False])
def test_tf32_changes_nothing_on_the_cpu(per_pixel: bool) -> None:
    exact, same = (outputs_and_gradients(precision, per_pixel) for precision in ("float32", "tf32"))
    for own, true in zip(same, exact, strict=True):
        torch.testing.assert_close(own, true, rtol=1e-5, atol=1e-5)


def test_tf32_holds_within_the_products_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch is the process's; the loss and the renderer, whose backward passes run in between, must not see it."""
    matmul = torch.backends.cuda.matmul
    with pytest.raises(RuntimeError, match="within: True"), tensor_cores("tf32"):
        raise RuntimeError(f"within: {matmul.allow_tf32}")
    assert not matmul.allow_tf32
    seen: list[Any] = []
    product = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: (seen.append(matmul.allow_tf32), product(a, b))[1])
    inputs, weight, bias = torch.randn(6, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True), torch.zeros(3)
    result = linear(inputs, weight, bias, "tf32")
    result.register_hook(lambda gradient: seen.append("between") or gradient)
    result.sum().backward()
    assert seen == [True, "between", True, True]
    assert not matmul.allow_tf32


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_linear_has_the_shapes_and_types_of_torch(precision: Precision) -> None:
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(2, 3, 5, generator=generator).requires_grad_()
    weight, bias = torch.randn(4, 5, generator=generator).requires_grad_(), torch.randn(4, requires_grad=True)
    for own, true in zip(
        torch.autograd.grad(linear(inputs, weight, bias, precision).square().sum(), (inputs, weight, bias)),
        torch.autograd.grad(torch.nn.functional.linear(inputs, weight, bias).square().sum(), (inputs, weight, bias)),
        strict=True,
    ):
        assert own.dtype == torch.float32
        torch.testing.assert_close(own, true, rtol=0.05, atol=0.2)


def test_the_protocols_differ_from_the_papers_in_the_precision_alone() -> None:
    paper = PROBE_PROTOCOLS["paper-v1"]
    assert {protocol.precision for protocol in (paper, PROBE_PROTOCOLS["quick-v1"])} == {"float32"}
    for name, precision in (("paper-v1-tf32", "tf32"), ("paper-v1-bf16", "bfloat16")):
        assert PROBE_PROTOCOLS[name].precision == precision
        assert replace(PROBE_PROTOCOLS[name], name="paper-v1", precision="float32") == paper


@pytest.mark.parametrize("mode", ["A", "Gft"])
def test_a_probe_reaches_nearly_the_same_pictures(tiny_scene: MultiViewScene, tiny_truth: Initialisation, mode: str) -> None:
    generator = torch.Generator().manual_seed(3)
    features = FeatureMap(torch.randn(3, 6, 8, 16, generator=generator), 24, 32, per_pixel=False)
    quick = replace(PROBE_PROTOCOLS["quick-v1"], iterations=150, warm_start=100, test_pose_steps=3)
    reached = {}
    for precision in ("float32", "bfloat16"):
        settings = ProbeSettings(mode_named(mode), replace(quick, precision=precision))  # type: ignore[arg-type]
        outcome = run_probe(ProbeScene(tiny_scene, tiny_scene, tiny_scene), tiny_truth, features, settings)
        reached[precision] = next(found.value for found in outcome.measurements if found.metric == "train_psnr")
    assert reached["bfloat16"] == pytest.approx(reached["float32"], abs=1.5)
    assert reached["bfloat16"] != reached["float32"]
