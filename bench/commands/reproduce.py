"""`bench reproduce`: run a plan whose outcome is known, and say of every value whether it came out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.commands.run import run_command
from bench.machine.files import write_text
from bench.results.store import read_rows
from bench.run.reproduce import REPRODUCTIONS, reproduction_named, verdicts

_MOST = 40  #: values that are printed; all of them stand in the file


def list_command(console: Console) -> None:
    """Print the names, what each reproduces and what it needs."""
    table = Table("name", "reproduces", "needs")
    for each in REPRODUCTIONS.values():
        table.add_row(each.name, escape(each.about), escape(each.needs))
    console.print(table)


def reproduce_command(
    name: str, out: Path, data_root: Path | None, device: str | None, jobs: int, console: Console, errors: Console
) -> int:
    """Run it, print a verdict for every value, and write `reproduction.csv`; returns 0 where every value is within."""
    chosen = reproduction_named(name)
    console.print(f"{chosen.about}\nneeds: {chosen.needs}", highlight=False, soft_wrap=True)
    request = replace(chosen.request, out=out, data_root=data_root, jobs=jobs, device=device or chosen.request.device)
    code = run_command(request, Path("reports") / out.name, False, console, errors)
    if code not in (0, 1):
        return code
    found = verdicts(read_rows(out), chosen.expected(), chosen.relative, chosen.absolute)
    write_text(out / "reproduction.csv", found.to_csv(index=False))
    table = Table("data set", "model", "mode", "metric", "expected", "measured", "difference", "verdict")
    shown = found.sort_values(
        "verdict", key=lambda words: words.map({"outside": 0, "missing": 1, "within": 2}), kind="stable"
    )
    for row in shown.head(_MOST).to_dict("records"):
        block = row["mode"] if row["mode"] != "-" else row["alignment"]
        numbers = [f"{row[name]:.4g}" for name in ("expected", "measured", "difference")]
        colour = {"within": "green", "outside": "red", "missing": "yellow"}[row["verdict"]]
        table.add_row(row["dataset"], row["model"], block, row["metric"], *numbers, f"[{colour}]{row['verdict']}[/]")
    console.print(table)
    counts = found["verdict"].value_counts()
    words = ", ".join(f"{counts.get(word, 0)} {word}" for word in ("within", "outside", "missing"))
    console.print(
        f"{words}, of {len(found)} values (tolerance {chosen.relative:.0%} or {chosen.absolute:g}); all of them: "
        f"{out / 'reproduction.csv'}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 0 if (found["verdict"] == "within").all() else 1
