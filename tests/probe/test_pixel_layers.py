"""The per-pixel readout in blocks against the same perceptrons head after head, and against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.probe import pixel_layers
from bench.probe.readout import HEAD_CHANNELS, Readout

ALL = tuple(HEAD_CHANNELS)


def both(readout: Readout, values: Tensor, detach_for: tuple[str, ...], weights: dict[str, Tensor]) -> list[list[Tensor]]:
    """Outputs and gradients by features and parameters, in blocks and head after head."""
    found = []
    for evaluate in (readout.at_pixels, readout.forward_pixels):
        features = values.clone().requires_grad_()
        outputs = evaluate(features, detach_for=detach_for)
        assert list(outputs) == list(readout.heads)
        loss = sum(((outputs[head] * weights[head]).sum() for head in outputs), start=features.new_zeros(()))
        gradients = torch.autograd.grad(loss, [features, *readout.parameters()])
        found.append([*(output.detach() for output in outputs.values()), *gradients])
    return found


@pytest.mark.parametrize("block", [1, 700, 1 << 18])
@pytest.mark.parametrize("detach_for", [(), ("colour_rest",), ("position", "opacity")])
def test_blocks_equal_the_oracle(monkeypatch: pytest.MonkeyPatch, block: int, detach_for: tuple[str, ...]) -> None:
    monkeypatch.setitem(pixel_layers._BLOCK_FLOATS, "cpu", block)
    generator = torch.Generator().manual_seed(0)
    readout = Readout(7, ALL, hidden=9, seed=3).double()
    values = torch.randn(53, 7, dtype=torch.float64, generator=generator)
    weights = {head: torch.randn(53, HEAD_CHANNELS[head], dtype=torch.float64, generator=generator) for head in ALL}
    for own, true in zip(*both(readout, values, detach_for, weights), strict=True):
        torch.testing.assert_close(own, true, rtol=1e-12, atol=1e-12)


def test_float32_is_within_rounding() -> None:
    generator = torch.Generator().manual_seed(1)
    readout = Readout(32, ("position", "colour_rest"), seed=0)
    values = torch.randn(3000, 32, generator=generator)
    weights = {head: torch.randn(3000, HEAD_CHANNELS[head], generator=generator) for head in readout.heads}
    for own, true in zip(*both(readout, values, (), weights), strict=True):
        assert (own - true).norm() <= 1e-5 * true.norm()


def test_gradients_by_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pixel_layers._BLOCK_FLOATS, "cpu", 30)
    generator = torch.Generator().manual_seed(2)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    tensors = [random(6, 4), *(random(5, 4) for _ in range(2)), *(random(5) for _ in range(2))]
    tensors += [random(3, 5), random(2, 5), random(3), random(2)]

    def outputs(*all_: Tensor) -> tuple[Tensor, ...]:
        features, w0, w1, b0, b1, v0, v1, c0, c1 = all_
        return pixel_layers.pixel_readout(features, 2, [(w0, b0), (w1, b1)], [(v0, c0), (v1, c1)])

    assert torch.autograd.gradcheck(outputs, tensors)


def test_no_pixels_and_one_output_alone() -> None:
    readout = Readout(4, ALL, seed=0)
    assert [tuple(each.shape) for each in readout.at_pixels(torch.zeros(0, 4)).values()] == [
        (0, n) for n in HEAD_CHANNELS.values()
    ]
    features = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (own,) = torch.autograd.grad(readout.at_pixels(features)["opacity"].sum(), features)
    (true,) = torch.autograd.grad(readout.forward_pixels(features)["opacity"].sum(), features)
    torch.testing.assert_close(own, true)
