"""The SLURM engine: hands job arrays in through submitit, and runs their tasks so that one that is sent away goes on later.

It submits and returns; what the tasks do is theirs (bench.run.machines.submit gives them shards of a plan). A task that
is told to stop (SIGUSR2 before its time is over, SIGTERM before it is preempted) gives up what it has in hand and goes back
into the queue. One that was cancelled stays so.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import Unavailable, UserError

#: Options of sbatch that this engine or submitit decides.
RESERVED = frozenset({"array", "output", "error", "signal", "open_mode", "nodes", "ntasks", "ntasks_per_node", "wrap"})
_SCONTROL_SECONDS = 60.0


def options_of(pairs: Sequence[tuple[str, str]], chosen: Mapping[str, str]) -> dict[str, str]:
    """The options of sbatch, by name with underscores: those that were chosen here, overruled by the user's.

    Raises:
        UserError: For an option that is decided elsewhere.
    """
    given = {name.strip().lstrip("-").replace("-", "_"): value for name, value in pairs}
    if reserved := sorted(RESERVED & set(given)):
        raise UserError(f"--slurm {reserved[0]}: this is decided by the plan; --jobs says how many tasks there are")
    if {"gres", "gpus", "gpus_per_task"} & set(given):
        chosen = {name: value for name, value in chosen.items() if name != "gpus_per_node"}
    return {**chosen, **given}


def submit_array(tasks: Sequence[Callable[[], bool]], folder: Path, options: Mapping[str, str]) -> str:
    """Hand in one job array.

    Args:
        tasks: What each task calls on its node; pickled. It gives True where it has got something done.
        folder: On a file system that the nodes share; takes scripts and logs.
        options: Of sbatch, as `options_of` gives them.

    Returns:
        The id of the job.

    Raises:
        Unavailable: Where submitit or SLURM is not installed.
        UserError: With what sbatch says where it refuses the job.
    """
    try:
        import submitit
    except ImportError as error:
        raise Unavailable("the SLURM engine needs submitit: pip install 'vfm3d-bench[slurm]'") from error
    for program in ("sbatch", "srun"):
        if shutil.which(program) is None:
            raise Unavailable(f"the SLURM engine needs a machine that can submit jobs: there is no program {program} here")
    executor = submitit.SlurmExecutor(folder=folder)
    cpus = (
        [f"--cpus-per-task={options['cpus_per_task']}"] if "cpus_per_task" in options else []
    )  # srun takes it from nowhere
    executor.update_parameters(
        array_parallelism=len(tasks),
        stderr_to_stdout=True,
        srun_args=cpus,
        additional_parameters={"requeue": True, **{name: value or True for name, value in options.items()}},
    )
    try:
        jobs = executor.map_array(run_resumably, tasks)
    except submitit.core.utils.FailedJobError as error:
        raise UserError(
            f"sbatch refuses the job: {str(error).strip()}; --slurm NAME=VALUE sets options of sbatch"
        ) from error
    return str(jobs[0].job_id).partition("_")[0]


def run_resumably(work: Callable[[], bool]) -> None:
    """Call `work` in a task of a job; where SLURM tells the task to stop, interrupt it and go back into the queue.

    Args:
        work: Returns soon after a KeyboardInterrupt, or lets it through; True where it has got something done.

    Raises:
        RuntimeError: Where the time is over and nothing was done in it: another try would end in the same way.
    """
    told: list[int] = []

    def stop(number: int, _: Any) -> None:
        if not told:  # SLURM may say it twice
            told.append(number)
            raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, stop)
    progressed = False
    try:
        progressed = work()
    except KeyboardInterrupt:
        if not told:
            raise
    if not told:
        return
    print(f"told to stop by {signal.Signals(told[0]).name}", flush=True)
    if told[0] == signal.SIGUSR2 and not progressed:
        raise RuntimeError("nothing was done within the task's time: give it more with --slurm time=HH:MM:SS")
    _requeue(_own_id())


def cpus_given() -> int:
    """The processors that SLURM gives this task."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK", "1"))


def _own_id() -> str:
    """What SLURM calls this task. The last task of an array has the array's number, which stands for all of them."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def _requeue(job: str) -> None:
    """Put a running job back into the queue; one that SLURM ends (cancelled, preempted, out of time) is left alone."""
    shown = subprocess.run(
        ["scontrol", "show", "job", "--oneliner", job],
        capture_output=True,
        text=True,
        timeout=_SCONTROL_SECONDS,
        check=False,
    ).stdout
    if "JobState=RUNNING" in shown:
        subprocess.run(["scontrol", "requeue", job], check=True, timeout=_SCONTROL_SECONDS)
