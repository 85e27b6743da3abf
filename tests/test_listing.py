"""`bench list` in terminals of several widths, and in a pipe."""

from __future__ import annotations

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bench import cli
from bench.commands.listing import list_command
from bench.registry import features


def listed(width: int) -> list[str]:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as printed:
        list_command("models", console)
    return printed.get().splitlines()


@pytest.mark.parametrize("width", [80, 120, 400])
def test_a_name_is_never_broken(width: int) -> None:
    first = [line.strip("│").split("│")[0].strip() for line in listed(width)]
    assert set(features) <= set(first)


def test_a_narrow_terminal_goes_without_the_longest_columns_and_says_so() -> None:
    narrow, wide = ("\n".join(listed(width)) for width in (80, 400))
    assert "timm/" not in narrow
    assert "bench show NAME" in narrow
    assert "hf:timm/vit_base_patch14_dinov2.lvd142m" in wide
    assert "bench show NAME" not in wide


def test_brackets_of_a_card_are_printed() -> None:
    for arguments in (["list", "estimators"], ["show", "lotus-2"]):
        assert "FLUX.1 [dev]" in CliRunner().invoke(cli.app, arguments).stdout


def test_in_a_pipe_a_model_is_one_line() -> None:
    printed = CliRunner().invoke(cli.app, ["list", "models"]).stdout
    (line,) = [line for line in printed.splitlines() if " dinov2 " in line]
    assert [cell.strip() for cell in line.strip("│").split("│")][:5] == ["dinov2", "S B L g", "ViT-B/14", "768", "14"]


@pytest.mark.parametrize("kind", ["models", "estimators", "datasets", "pointmaps"])
def test_eighty_columns_are_enough(kind: str) -> None:
    console = Console(width=80, force_terminal=True, color_system=None)
    with console.capture() as printed:
        list_command(kind, console)
    assert max(map(len, printed.get().splitlines())) <= 80


def test_a_family_stands_together() -> None:
    first = [line.strip("│").split("│")[0].strip() for line in listed(80)]
    names = [name for name in first if name in features]
    start = names.index("dino")
    assert set(names[start : start + 6]) >= {"dino", "dinov2", "dinov2-reg", "dinov3", "dinov3-convnext"}


def test_json_holds_the_cards_of_all_sizes() -> None:
    result = CliRunner().invoke(cli.app, ["list", "models", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert set(found) == set(features)
    assert found["dinov2"]["sizes"]["L"]["channels"] == 1024
    assert found["dinov2"]["settings"]["layer"] == list(range(1, 13))
    assert found["rgb"]["sizes"] == {}
    assert {entry["state"] for entry in found.values()} <= {"-", "cached", "to be fetched", "package absent"}
