"""The readout on per-pixel features against perceptrons written out in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_readout import assert_close, built_variants
from torch import Tensor

from bench import native
from bench.probe.readout.pixels import pixel_readout
from bench.probe.readout.readout import HEAD_CHANNELS, Readout

ALL = tuple(HEAD_CHANNELS)


@pytest.fixture(params=["torch", "base", "avx2", "avx512"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Plain torch and every build of the kernel in turn."""
    library = None
    if request.param != "torch":
        if request.param not in built_variants():
            pytest.skip(f"the {request.param} build of the kernel is not there, or this processor cannot run it")
        library = native.build("readout", request.param)
    monkeypatch.setattr(native, "load", lambda kernel: library)
    return str(request.param)


def evaluated(readout: Readout, x: Tensor, upstream: dict[str, Tensor], detach_for: tuple[str, ...]) -> list[Tensor]:
    """Outputs, and the gradients of the features and of all parameters."""
    features = x.clone().requires_grad_()
    outputs = readout.forward_pixels(features, detach_for)
    assert list(outputs) == list(readout.heads)
    parameters = list(readout.parameters())
    gradients = torch.autograd.grad(list(outputs.values()), [features, *parameters], list(upstream.values()))
    return [*(output.detach() for output in outputs.values()), *gradients]


def oracle(readout: Readout, x: Tensor, upstream: dict[str, Tensor], detach_for: tuple[str, ...]) -> list[Tensor]:
    """The same in float64, with the gradients written out; clears `upstream` at pixels with a unit within rounding of 0,
    where the derivative of a ReLU jumps."""
    x, outputs, gradients = x.double(), [], []
    of_x = torch.zeros_like(x)
    for head, stack in readout.heads.items():
        w1, b1, w2, b2 = (p.detach().double() for p in stack.parameters())
        before = x @ w1.T + b1
        upstream[head] *= (before.abs() > 1e-5).all(dim=1, keepdim=True)
        hidden, arriving = before.clamp(min=0), upstream[head].double()
        outputs.append(hidden @ w2.T + b2)
        of_hidden = (arriving @ w2) * (before > 0)
        of_x += 0 if head in detach_for else of_hidden @ w1
        gradients += [of_hidden.T @ x, of_hidden.sum(0), arriving.T @ hidden, arriving.sum(0)]
    return [*outputs, of_x, *gradients]


def problem(count: int, channels: int, hidden: int, heads: tuple[str, ...]) -> tuple[Readout, Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(count)
    x = torch.randn(count, channels, generator=generator)
    upstream = {head: torch.randn(count, HEAD_CHANNELS[head], generator=generator) for head in heads}
    return Readout(channels, heads, hidden=hidden, seed=1), x, upstream


@pytest.mark.parametrize(
    ("count", "channels", "hidden"),
    [(1, 16, 16), (7, 6, 6), (128, 32, 32), (129, 48, 80), (300, 21, 40), (1000, 64, 64), (0, 16, 16)],
)
@pytest.mark.parametrize("detach_for", [(), ("colour_rest",), ("position", "opacity"), ALL])
def test_every_path_equals_the_oracle(
    backend: str, count: int, channels: int, hidden: int, detach_for: tuple[str, ...]
) -> None:
    readout, x, upstream = problem(count, channels, hidden, ALL)
    true = oracle(readout, x, upstream, detach_for)
    if detach_for == ALL:  # nothing reaches the features
        outputs = readout.forward_pixels(x.requires_grad_(), ALL)
        gradients = torch.autograd.grad(list(outputs.values()), list(readout.parameters()), list(upstream.values()))
        found = [*(output.detach() for output in outputs.values()), torch.zeros_like(x), *gradients]
    else:
        found = evaluated(readout, x, upstream, detach_for)
    for own, expected in zip(found, true, strict=True):
        assert_close(own, expected)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5])
def test_pixels_that_no_gradient_reaches(backend: str, share: float) -> None:
    """The kernel leaves them out; one value that is not zero brings a pixel back."""
    readout, x, upstream = problem(700, 16, 16, ("position", "colour_rest"))
    reached = torch.rand(700, generator=torch.Generator().manual_seed(2)) < share
    upstream["position"] *= 0
    upstream["colour_rest"] *= 0
    upstream["colour_rest"][reached, -1] = 1.0
    upstream["position"][5, 2] = -1.0
    true = oracle(readout, x, upstream, ())
    for own, expected in zip(evaluated(readout, x, upstream, ()), true, strict=True):
        assert_close(own, expected)


@settings(max_examples=40)
@given(count=st.integers(0, 300), channels=st.integers(1, 40), hidden=st.integers(1, 40))
def test_any_shape(count: int, channels: int, hidden: int) -> None:
    readout, x, upstream = problem(count, channels, hidden, ("rotation", "colour_rest"))
    true = oracle(readout, x, upstream, ())
    for own, expected in zip(evaluated(readout, x, upstream, ()), true, strict=True):
        # Summands are of the order of 1, and a sum of few numbers may cancel.
        assert (own.double() - expected).norm() <= 1e-5 * (1 + expected.norm())


def test_gradients_by_finite_differences() -> None:
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    layers = [random(5, 4), random(5), random(5, 4), random(5), random(3, 5), random(3), random(2, 5), random(2)]

    def evaluate(x: Tensor, *p: Tensor) -> tuple[Tensor, ...]:
        first, second = [(p[0], p[1]), (p[2], p[3])], [(p[4], p[5]), (p[6], p[7])]
        return pixel_readout(x, (True, True), first, second)

    assert torch.autograd.gradcheck(evaluate, (random(6, 4), *layers))


def test_passes_that_overlap_do_not_share_their_activations(backend: str) -> None:
    """What one pass keeps for its backward pass is reused by later ones only when it is done with."""
    readout, x, upstream = problem(200, 16, 16, ("position",))
    true = oracle(readout, x, upstream, ())
    first, second = x.clone().requires_grad_(), (-x).requires_grad_()
    one = readout.forward_pixels(first)["position"]
    for _ in range(3):
        other = readout.forward_pixels(second)["position"]
        (found,) = torch.autograd.grad(one, first, upstream["position"], retain_graph=True)
        assert_close(found, true[1])
        torch.autograd.grad(other, second, upstream["position"])


def test_a_nan_is_not_hidden(backend: str) -> None:
    readout, x, _ = problem(20, 16, 16, ALL)
    x[7, 3] = float("nan")
    for output in readout.forward_pixels(x).values():
        assert output[7].isnan().all()
        assert output[:7].isfinite().all()


def test_layers_of_another_type_than_the_features_are_no_garbage() -> None:
    """The kernel reads float32 only: torch says what does not fit."""
    weight, bias = torch.randn(16, 8, dtype=torch.float64), torch.zeros(16, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="dtype"):
        pixel_readout(torch.randn(5, 8), [True], [(weight, bias)], [(weight[:3, :].repeat(1, 2), bias[:3])])


def test_the_room_for_activations_is_used_again() -> None:
    spare: list[torch.Tensor] = []
    features = torch.randn(40, 8)
    first, second = (torch.randn(16, 8), torch.randn(16)), (torch.randn(3, 16), torch.randn(3))
    rooms = []
    for _ in range(2):
        (output,) = pixel_readout(features, [True], [first], [second], spare=spare)
        expected = (features @ first[0].T + first[1]).relu() @ second[0].T + second[1]
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
        del output
        rooms.append([room.data_ptr() for room in spare])
    assert rooms[0] == rooms[1]
    assert len(rooms[0]) == int(native.load("readout") is not None)
