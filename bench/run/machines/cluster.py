"""A run over the machines of a Ray cluster: what each must have, what travels with the job, how many cells share a GPU."""

from __future__ import annotations

import functools
import hashlib
import math
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.core.errors import UserError
from bench.core.residents import Residents
from bench.core.track import Settings
from bench.core.version import VERSION
from bench.machine.files import write_text
from bench.machine.locations import cache_root, data_root
from bench.run.engines import ray
from bench.run.planning.planfile import Estimate
from bench.run.worker import Elsewhere, Report, Task, prepare_process

MOST_PLUGIN_BYTES = 2**20  #: of a plug-in's file that travels with the job
_GPU_SHARE = 0.9  #: of a GPU's memory that packed cells may take together
_MARGIN = 1.2  #: memory that a cell gets over the largest peak of like cells
_MOST_ON_A_GPU = 8


@dataclass(frozen=True)
class Machine:
    """What a machine says of itself.

    Attributes:
        faults: What it lacks for this run, in words.
        gpu_mb: Memory of its smallest GPU; NaN without one, or where nvidia-smi does not tell.
    """

    faults: tuple[str, ...]
    gpu_mb: float


def check_machines(out: Path, settings: Settings) -> dict[str, Machine]:
    """Ask every machine of the cluster whether it can take part.

    Args:
        out: The results folder, absolute.
        settings: As on this machine.

    Raises:
        UserError: Naming each machine that cannot and what it lacks, before anything is run.
    """
    token = out / f".shared-{uuid.uuid4().hex}"
    write_text(token, "")
    try:
        found = ray.on_every_machine(functools.partial(_look, token, settings, VERSION))
    finally:
        token.unlink(missing_ok=True)
    machines = {name: each if isinstance(each, Machine) else Machine((each,), math.nan) for name, each in found.items()}
    faults = [f"{name}: {'; '.join(each.faults)}" for name, each in machines.items() if each.faults]
    if faults:
        raise UserError("\n".join(["machines of the cluster that cannot take part:", *faults]))
    if settings.device == "cuda" and not ray.gpus():
        raise UserError("--device cuda: no machine of the cluster has a GPU")
    return machines


def cells_per_gpu(estimates: Sequence[Estimate], machines: Sequence[Machine]) -> int:
    """How many cells fit a GPU together: as often as the largest measured peak goes into the smallest GPU; 1 where a cell's
    is not known."""
    peaks = [estimate.memory_mb for estimate in estimates]
    gpus = [machine.gpu_mb for machine in machines if not math.isnan(machine.gpu_mb)]
    if not peaks or not gpus or any(math.isnan(peak) for peak in peaks):
        return 1
    return max(1, min(_MOST_ON_A_GPU, int(_GPU_SHARE * min(gpus) / (_MARGIN * max(*peaks, 1.0)))))


@dataclass(frozen=True)
class PluginFile:
    """A plug-in's file that travels with the job: its name, which its code's identity holds, and its content."""

    name: str
    content: str

    def path_here(self) -> Path:
        """Where it lies on this machine; written where it is not there yet."""
        digest = hashlib.sha256(self.content.encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"vfm3d-bench-plugins-{digest}" / self.name
        if not (path.is_file() and path.read_text(encoding="utf-8") == self.content):
            write_text(path, self.content)
        return path


def plugin_files(plugins: Sequence[str]) -> tuple[str | PluginFile, ...]:
    """The plug-ins, those that are files with what they hold; modules are installed on the machines.

    Raises:
        UserError: For a file above MOST_PLUGIN_BYTES.
    """
    found: list[str | PluginFile] = []
    for plugin in plugins:
        path = Path(plugin)
        if path.suffix != ".py":
            found.append(plugin)
            continue
        if path.stat().st_size > MOST_PLUGIN_BYTES:
            raise UserError(f"--plugin {plugin}: it has more than {MOST_PLUGIN_BYTES:,} bytes; install it on the machines")
        found.append(PluginFile(path.name, path.read_text(encoding="utf-8")))
    return tuple(found)


def prepare_there(plugins: Sequence[str | PluginFile], root: Path | None, threads: int, share: float) -> None:
    """`bench.run.worker.prepare_process` on another machine. share: of a GPU's memory that this process may take."""
    here = [str(each.path_here()) if isinstance(each, PluginFile) else each for each in plugins]
    prepare_process(here, _root_here(root), threads)
    if share < 1:
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(share)


def call_there(
    function: Callable[..., Report | UserError | Elsewhere],
    task: Task,
    *,
    out: Path,
    settings: Settings,
    residents: Residents,
) -> Report | UserError | Elsewhere:
    """A worker's function with the data root and the cache of the machine that it runs on."""
    return function(task, out=out, settings=settings_here(settings), residents=residents)


def settings_here(settings: Settings) -> Settings:
    """The settings of the driver with this machine's places where the driver's are not there."""
    cache = settings.cache if settings.cache.is_dir() else cache_root()
    return replace(settings, data_root=_root_here(settings.data_root), cache=cache)


def _root_here(root: Path | None) -> Path | None:
    return root if root is None or root.is_dir() else data_root(None)


def _look(token: Path, settings: Settings, version: str) -> Machine:
    """What this machine lacks. Runs on every machine of the cluster."""
    faults = []
    if version != VERSION:
        faults.append(f"it has version {VERSION} of the suite, this machine {version}")
    if not token.is_file():
        faults.append(f"the results folder {token.parent} is not there, or not the one that this run writes: share it")
    elif not _can_write(token.parent):
        faults.append(f"the results folder {token.parent} cannot be written to")
    try:
        _root_here(settings.data_root)
    except UserError as error:
        faults.append(str(error))
    faults += [f"--checkpoint {name}: there is no {path}" for name, path in settings.checkpoints if not path.exists()]
    return Machine(tuple(faults), _gpu_mb())


def _gpu_mb() -> float:
    """The memory of the smallest GPU. Asked of the driver: Ray hides GPUs from a process that has none to itself."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return math.nan
    command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    return min((float(line) for line in told.split() if line.isdecimal()), default=math.nan)


def _can_write(folder: Path) -> bool:
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return True
    except OSError:
        return False
