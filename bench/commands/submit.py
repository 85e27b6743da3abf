"""`bench run --engine slurm`: what is handed in, printed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from bench.commands.run import print_plan
from bench.core.cells import Cell
from bench.core.text import counted
from bench.run.machines.submit import JobArray, submit_request
from bench.run.planning.planfile import Estimate
from bench.run.request import Request
from bench.run.session import Event, Planned


def submit_command(
    request: Request, planned: Sequence[tuple[Cell, Estimate]] | None, dry_run: bool, console: Console
) -> None:
    """Hand the run in to SLURM, or print what would be. Raises UserError for a user's mistake and where sbatch refuses."""

    def listen(event: Event) -> None:
        if isinstance(event, Planned):
            print_plan(event.plan, console)

    made = submit_request(request, listen, planned, dry=dry_run)
    stored = len(made.plan.cells) - sum(len(array.plan.cells) for array in made.arrays)
    if stored:
        console.print(f"{stored} of {len(made.plan.cells)} cells are stored already", highlight=False)
    for place, array in enumerate(made.arrays):
        job = f"job {made.jobs[place]}" if made.jobs else "would submit"
        console.print(f"{job}: {escape(_described(array))}", highlight=False, soft_wrap=True)
        options = " ".join(
            f"--{name.replace('_', '-')}" + (f"={value}" if value else "") for name, value in array.options.items()
        )
        console.print(f"    sbatch --array=0-{array.tasks - 1} {escape(options)}", highlight=False, soft_wrap=True)
    if made.jobs:
        console.print(
            f"how far it is: bench status {request.out}; what failed or is missing: the same command again",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )


def _described(array: JobArray) -> str:
    guessed = sum(estimate.guessed for _, estimate in array.plan.cells)
    return (
        f"{counted(array.tasks, 'task')} of {array.need}; {counted(len(array.plan.cells), 'cell')}, "
        f"about {array.plan.seconds / 3600:.2f} hours, the longest task {array.seconds / 3600:.2f}"
        + (f" ({counted(guessed, 'estimate')} from the time limit)" if guessed else "")
    )
