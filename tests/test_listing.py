"""`bench list` in terminals of several widths, and in a pipe."""

from __future__ import annotations

import pytest
from rich.console import Console

from bench.commands.listing import print_listing
from bench.registry import features


def listed(width: int, terminal: bool) -> list[str]:
    console = Console(width=width, force_terminal=terminal, color_system=None)
    with console.capture() as printed:
        print_listing("models", console)
    return printed.get().splitlines()


@pytest.mark.parametrize("width", [90, 120, 400])
def test_a_name_is_never_broken(width: int) -> None:
    first = [line.strip("│").split("│")[0].strip() for line in listed(width, terminal=True)]
    assert set(features) <= set(first)


def test_a_narrow_terminal_goes_without_the_longest_columns_and_says_so() -> None:
    narrow, wide = ("\n".join(listed(width, terminal=True)) for width in (120, 400))
    assert "timm/" not in narrow
    assert "bench show NAME" in narrow
    assert "hf:timm/vit_base_patch14_dinov2.lvd142m" in wide
    assert "bench show NAME" not in wide


def test_in_a_pipe_a_model_is_one_line() -> None:
    (line,) = [line for line in listed(80, terminal=False) if " dinov2 " in line]
    assert [cell.strip() for cell in line.strip("│").split("│")][:4] == ["dinov2", "ViT-B/14", "768", "14"]
