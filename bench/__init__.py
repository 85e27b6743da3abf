"""vfm3d-bench: how much 3D does a vision model know?

The front door: `evaluate` runs models on data sets and gives `Results`, `load_rows` reads stored rows, `report` writes the
report of results folders. The command `bench` does the same. What is plugged in (models, data sets, initialisers) lives in
the package `registry` or in a user's own plug-in.

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from bench import report
from bench.core.names import Names
from bench.core.version import NUMERICS_VERSION
from bench.core.version import VERSION as __version__

if TYPE_CHECKING:
    import pandas as pd

    from bench.run.planning.plan import LeftOut
    from bench.run.session import Event

__all__ = ["NUMERICS_VERSION", "Failure", "Results", "__version__", "evaluate", "load_rows", "report"]


@dataclass(frozen=True)
class Failure:
    """A cell that did not end well: "probe dtu/scan24 · dino · G", "failed" or "unavailable", and why."""

    cell: str
    status: str
    reason: str


@dataclass(frozen=True)
class Results:
    """What an evaluation gave.

    Attributes:
        folder: The results folder, which `bench report`, `compare` and `verify` take as well.
        failures: The cells of this run that did not end well.
        left_out: What `all` would have covered and this machine cannot run, each with its reason.
        interrupted: True where Ctrl-C ended it; the same call goes on.
    """

    folder: Path
    failures: tuple[Failure, ...]
    left_out: tuple[LeftOut, ...]
    interrupted: bool

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The tidy rows of the folder, one a metric value (`load_rows`)."""
        return load_rows(self.folder)

    def report(self, out: str | PathLike[str] | None = None, formats: Names = ("html", "md", "latex", "csv")) -> Path:
        """Write the report of the folder; see `bench.report`."""
        path: Path = report(self.folder, out=out, formats=formats)  # type: ignore[operator]  # a module that can be called
        return path


def evaluate(
    models: Names = "embedded",
    datasets: Names = "procedural",
    *,
    scenes: Names = "auto",
    modes: Names = "auto",
    pointmap: str = "auto",
    protocol: Names = "auto",
    seeds: int | Sequence[int] = 0,
    device: str = "auto",
    weights: str = "pretrained",
    checkpoints: Mapping[str, str | PathLike[str]] | None = None,
    data_root: str | PathLike[str] | None = None,
    jobs: int = 0,
    engine: str = "local",
    cell_timeout: float | None = None,
    plugins: Sequence[str] = (),
    out: str | PathLike[str] = "results/run",
    on_event: Callable[[Event], None] | None = None,
) -> Results:
    """Run models on data sets, every cell that is not yet stored.

    Cells run in worker processes; nothing in the calling process is changed. A script that calls this needs the usual guard
    `if __name__ == "__main__":`.

    Args:
        models, datasets, scenes, modes, protocol: Names, as one text with commas or as a sequence; see
            `bench.run.request.Request` for what stands for many, and `bench list` for what there is.
        pointmap: The initialiser of the probe, or "auto": the data set's own choice.
        seeds: Whole numbers below 2^32.
        device: "auto", "cpu" or "cuda".
        weights: "pretrained", or "random": the real architecture with random weights, marked in every row.
        checkpoints: Model name -> local file or folder in place of the publisher's weights.
        data_root: The folder of the data sets.
        jobs: Cells at a time; 0: one a core on a CPU, one on a GPU.
        engine: "local" or "ray".
        cell_timeout: Seconds after which a cell is ended and recorded as failed; by default its protocol's.
        plugins: Python files or modules that register models, data sets, initialisers or protocols.
        out: The results folder; a second call goes on where the first stopped.
        on_event: Called with what happens (`bench.run.session.Event`); the logger `bench` tells the same.

    Returns:
        The results, failures included: a cell that fails stops nothing.

    Raises:
        bench.core.errors.UserError: For what the caller can mend, with one message.

    Example:
        results = bench.evaluate("iuvrgb,daisy", scenes="room", modes="G", out="results/first")
        results.rows.query("metric == 'psnr'").groupby("model")["value"].mean()
    """
    from bench.core.registry import load_plugin
    from bench.run.request import request_of
    from bench.run.session import run_request

    for plugin in plugins:
        load_plugin(plugin)
    request = request_of(
        models=models,
        datasets=datasets,
        scenes=scenes,
        modes=modes,
        pointmap=pointmap,
        protocol=protocol,
        seeds=(seeds,) if isinstance(seeds, int) else seeds,
        weights=weights,
        checkpoints=tuple((name, Path(path).resolve()) for name, path in (checkpoints or {}).items()),
        data_root=None if data_root is None else Path(data_root),
        device=device,
        jobs=jobs,
        engine=engine,
        cell_timeout=cell_timeout,
        plugins=tuple(plugins),
        out=Path(out),
    )
    ran = run_request(request, on_event)
    failures = tuple(Failure(each.cell.label, each.status, each.error) for each in ran.failures)
    return Results(request.out, failures, ran.plan.left_out, ran.interrupted)


def load_rows(folder: str | PathLike[str]) -> pd.DataFrame:
    """The rows of a results folder, one a metric value; the columns are those of `bench.results.schema.ROW_COLUMNS`.

    Args:
        folder: Holds `cells/`, `rows.parquet` or `rows.csv`.

    Raises:
        bench.core.errors.UserError: Naming the file that is missing or at fault.
    """
    from bench.results.store import read_rows

    return read_rows(Path(folder))
