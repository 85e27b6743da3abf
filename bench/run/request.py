"""What a run is asked for: one dataclass behind the command line and `bench.evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.core.cells import INSTANTSPLAT, Weights
from bench.core.errors import UserError
from bench.core.names import Names, names_in
from bench.machine.locations import data_root

ALL = "all"  #: every registered name, or every scene
AUTO = "auto"  #: the data set's choice of scenes and initialiser, the paper's of modes, the machine's of a device
EMBEDDED = "embedded"  #: every model that needs no download, and the untrained twins of those that were trained
PROBED = ("G", "T", "A", INSTANTSPLAT)  #: the modes that `auto` stands for: the paper's, without fine-tuning
ENGINES = ("local", "ray", "slurm")
SEEDS = 2**32  #: what every generator takes


@dataclass(frozen=True)
class Request:
    """What is to be run, how, and where the results go. The defaults are those of `bench run`.

    Attributes:
        models, datasets, modes: Names; `all` stands for every one, `embedded` for every model that needs no
            download and the untrained twins of those that were trained.
        modes: `auto` too: G, T, A and the baseline.
        scenes, pointmap: Names, or `auto` for the data set's own choice; scenes may be `all`.
        protocols: At most one a track; none: `paper-v1` on a GPU and `quick-v1` on a CPU, and `moge-v1`.
        seeds: Whole numbers from 0 to 2^32 - 1.
        weights: "random" builds every network with seeded random weights; every row says so.
        checkpoints: (model, file or folder) pairs that stand in for the publisher's weights.
        data_root: The folder of the data sets; None: $BENCH_DATA, then the user's folder.
        device: "auto", "cpu" or "cuda".
        jobs: Cells at a time; 0: one a core on a CPU, one on a GPU, as many as a Ray cluster has room for. On SLURM the
            number of array tasks; 0: so many that each takes about an hour.
        engine: "local", "ray" or "slurm".
        slurm: Options of sbatch as (name, value) pairs; an empty value for a flag.
        cell_timeout: Seconds after which a cell is ended and recorded as failed; None: its protocol's (bench.run.limits).
        memory_mb: What a worker process may take; None: nine tenths of the machine's.
        plugins: Python files or modules that worker processes load as well.
        out: The results folder.
    """

    models: tuple[str, ...] = (EMBEDDED,)
    datasets: tuple[str, ...] = ("procedural",)
    scenes: tuple[str, ...] = (AUTO,)
    modes: tuple[str, ...] = (AUTO,)
    pointmap: str = AUTO
    protocols: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    weights: Weights = "pretrained"
    checkpoints: tuple[tuple[str, Path], ...] = ()
    data_root: Path | None = None
    device: str = AUTO
    jobs: int = 0
    engine: str = "local"
    slurm: tuple[tuple[str, str], ...] = ()
    cell_timeout: float | None = None
    memory_mb: float | None = None
    plugins: tuple[str, ...] = ()
    out: Path = Path("results/run")

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    def on_this_machine(self) -> Request:
        """The request with its device and data root found.

        Raises:
            UserError: For an empty list, a value outside a closed vocabulary, or a folder or device that is not there.
        """
        self._check()
        return replace(self, device=found_device(self.device), data_root=data_root(self.data_root))

    def for_other_machines(self) -> Request:
        """The request as machines that share this one's file system run it: absolute paths, a device that is not looked for.

        Raises:
            UserError: As `on_this_machine`, and where the device is not named.
        """
        self._check()
        if one_of("--device", self.device, (AUTO, "cpu", "cuda")) == AUTO:
            raise UserError("other machines run this: name the device that they have, --device cpu or --device cuda")
        return replace(self, data_root=data_root(self.data_root)).with_absolute_paths()

    @property
    def elsewhere(self) -> bool:
        """True where the machines that run it are others, of which this one knows nothing."""
        return self.engine == "slurm" or (self.engine == "ray" and self.device != AUTO)

    def placed(self) -> Request:
        """The request on the machines that its engine runs it on. Raises UserError as `for_other_machines`."""
        if self.elsewhere:
            return self.for_other_machines()
        here = self.on_this_machine()
        return here.with_absolute_paths() if self.engine == "ray" else here

    def with_absolute_paths(self) -> Request:
        """The same request, whatever folder a process of it runs in."""
        return replace(
            self,
            data_root=None if self.data_root is None else self.data_root.absolute(),
            checkpoints=tuple((name, path.absolute()) for name, path in self.checkpoints),
            plugins=tuple(str(Path(each).absolute()) if each.endswith(".py") else each for each in self.plugins),
            out=self.out.absolute(),
        )

    def _check(self) -> None:
        for option in ("models", "datasets", "scenes", "modes", "seeds"):
            if not getattr(self, option):
                raise UserError(f"--{option}: name at least one")
        for seed in self.seeds:
            if not 0 <= seed < SEEDS:
                raise UserError(f"--seeds: {seed} is too large; seeds are below {SEEDS}")
        for option, limit in (("--cell-timeout", self.cell_timeout), ("--memory", self.memory_mb)):
            if limit is not None and not limit > 0:
                raise UserError(f"{option} {limit}: must be above 0")
        one_of("--weights", self.weights, ("pretrained", "random"))
        one_of("--engine", self.engine, ENGINES)
        if self.checkpoints and self.weights == "random":
            raise UserError("--checkpoint names weights and --weights random asks for none: give one of them")
        if self.slurm and self.engine != "slurm":
            raise UserError(f"--slurm {self.slurm[0][0]}: is for --engine slurm")


def request_of(
    *,
    models: Names,
    datasets: Names,
    scenes: Names,
    modes: Names,
    protocol: Names,
    seeds: Sequence[int],
    **others: Any,
) -> Request:
    """A request from names as people write them: one text with commas, or a sequence.

    Args:
        scenes: Taken as they are: a scene's name may hold commas, which only its data set can tell
            (`bench.run.planning.plan`).
        protocol: "auto" for the machine's choice.
        others: Further fields of `Request`.
    """
    written = (scenes,) if isinstance(scenes, str) else tuple(scenes)
    return Request(
        models=names_in(models),
        datasets=names_in(datasets),
        scenes=tuple(text for text in written if text.strip(" ,")),
        modes=names_in(modes),
        protocols=() if protocol == AUTO else names_in(protocol),
        seeds=tuple(dict.fromkeys(seeds)),
        **others,
    )


def found_device(asked: str) -> str:
    """ "cpu" or "cuda"; "auto" is the GPU where there is one. Raises UserError for a device that this machine lacks."""
    one_of("--device", asked, (AUTO, "cpu", "cuda"))
    if asked == "cpu":
        return asked
    import torch

    available = torch.cuda.is_available()
    if asked == "cuda" and not available:
        raise UserError("--device cuda: PyTorch sees no CUDA device on this machine; use --device cpu")
    return "cuda" if available else "cpu"


def one_of(option: str, value: str, allowed: Sequence[str]) -> str:
    """The value. Raises UserError where it is not one of those allowed."""
    if value not in allowed:
        raise UserError(f"{option} {value}: must be one of {', '.join(allowed)}")
    return value
