"""What the commands share: where they print, options that several take, and how their texts are read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bench.core.errors import UserError
from bench.core.names import names_in

#: Characters of a line in a file or a pipe, which has no width of its own: nothing is wrapped or cut there.
_WIDEST = 1000


def _console(stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _WIDEST)


console = _console()
errors = _console(stderr=True)

Plugins = Annotated[list[str] | None, typer.Option("--plugin", help="A Python file or module to load; repeatable.")]
DataRoot = Annotated[Path | None, typer.Option("--data-root", help="Folder that holds the data sets (else $BENCH_DATA).")]

LocalWeights = Annotated[
    list[str] | None,
    typer.Option(
        "--checkpoint",
        help="NAME=PATH: weights of a model from a local file or folder; repeatable. Results say what they contain (a "
        "sha256), never where they lie.",
    ),
]
SameWeights = Annotated[
    list[str] | None,
    typer.Option(
        "--checkpoint",
        help="NAME=PATH: the local weights that a cell was run with, in place of the publisher's; repeatable. The cell "
        "names their sha256, which must be the same.",
    ),
]


def load_plugins(plugins: list[str] | None) -> None:
    """Import plug-ins; those that are installed and broken are told."""
    from bench.core.registry import broken_plugins, load_plugin

    for plugin in plugins or []:
        load_plugin(plugin)
    for broken in broken_plugins():
        errors.print(
            f"[yellow]plug-in {escape(broken.module)} was left out[/]: {escape(broken.reason)}",
            highlight=False,
            soft_wrap=True,
        )


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """The numbers in a text with commas. Raises UserError naming the option for anything else."""
    for each in names_in(text):
        if not each.isdecimal():
            raise UserError(f"{option}: {each!r} is not a whole number")
    return tuple(dict.fromkeys(int(each) for each in names_in(text)))
