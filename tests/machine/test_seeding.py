"""Global random generators under a seed: what is drawn, and that they are left as they were."""

from __future__ import annotations

import warnings

import pytest
import torch

from bench.machine.seeding import seeded_generators


def test_draws_depend_on_the_seed_alone_and_the_generator_stays() -> None:
    drawn = []
    for start in (1, 2):
        torch.manual_seed(start)
        before = torch.random.get_rng_state()
        with seeded_generators(7):
            drawn.append(torch.rand(3))
        assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(*drawn)
    assert torch.equal(drawn[0], torch.rand(3, generator=torch.Generator().manual_seed(7)))


def test_it_stays_where_the_block_fails() -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(RuntimeError), seeded_generators(7):
        torch.rand(1) @ torch.rand(2)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("in_use", [True, False])
def test_every_gpu_in_use_gets_its_generator_back_and_no_other_is_started(
    in_use: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against two GPUs whose generators are these: a seed sets them, as torch.manual_seed sets those of real ones."""
    states = {0: torch.tensor([10]), 1: torch.tensor([11])}
    inside = []

    def everywhere(seed: int) -> None:
        states.update({device: torch.tensor([seed]) for device in states})

    def read(device: int) -> torch.Tensor:
        assert in_use, "reading a generator starts CUDA"
        return states[device].clone()

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: in_use)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", read)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: states.update({device: state}))
    monkeypatch.setattr(torch, "manual_seed", everywhere)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with seeded_generators(7):
            inside = [int(state) for state in states.values()]
    assert inside == [7, 7]
    assert [int(state) for state in states.values()] == ([10, 11] if in_use else [7, 7])
