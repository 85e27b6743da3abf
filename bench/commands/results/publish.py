"""`bench publish`: writes what can go out into the world, and says what cannot and why."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.report.publish import publish


def publish_command(folder: Path, benchmark: str, out: Path, source: str, console: Console) -> None:
    """Publish and print. Raises UserError as `bench.report.publish.publish` does."""
    made = publish(folder, benchmark, out, source)
    for repository, count in made.models.items():
        console.print(f"{repository}: {count} values", highlight=False, markup=False, soft_wrap=True)
    for reason, count in made.left_out.items():
        console.print(f"left out: {count} values, {reason}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"written to {out}; nothing was sent. {out / 'hub'}: a folder for each model's repository, to be offered as a pull "
        f"request there; {made.folder}: for a pull request here",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
