"""A real SLURM on this machine for as long as a test runs: munge, a controller, virtual nodes on the loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged")
_READY_SECONDS = 60.0
_MUNGE_SOCKET = Path("/run/munge/munge.socket.2")


def lacking() -> str:
    """Why no SLURM can be started here; "" where one can."""
    if missing := [name for name in _PROGRAMS if shutil.which(name) is None]:
        return f"SLURM is not installed: {', '.join(missing)} (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "starting a SLURM takes root"


@contextmanager
def slurm(folder: Path, nodes: int = 2, lost_after: int = 300) -> Iterator[dict[str, str]]:
    """Start a cluster, yield the environment of its clients, stop it.

    Args:
        folder: An empty one, for its configuration, logs and state.
        nodes: Virtual ones, of one processor and 8 GB each.
        lost_after: Seconds after which a node that does not answer is lost, and its tasks go to others.

    Raises:
        RuntimeError: Where it is not ready in time; the message holds the end of the controller's log.
    """
    for name in ("state", "spool", "pid", "log"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(_configuration(folder, nodes, lost_after))
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    munge = _start_munge()
    started: list[Path] = []
    try:
        _call(["slurmctld", "-f", str(configuration)], environment)
        started.append(folder / "pid" / "slurmctld.pid")
        for number in range(1, nodes + 1):
            _call(["slurmd", "-f", str(configuration), "-N", f"n{number}"], environment)
            started.append(folder / "pid" / f"slurmd-n{number}.pid")
        _await_nodes(folder, nodes, environment)
        subprocess.run(["srun", "true"], env=environment, check=True, capture_output=True, timeout=_READY_SECONDS)
        try:
            yield environment
        finally:
            subprocess.run(["scancel", "--user", "root"], env=environment, check=False, capture_output=True)
            _await(lambda: not queue(environment), _READY_SECONDS)
    finally:
        _end([*reversed(started), *([munge] if munge else [])])


def queue(environment: dict[str, str]) -> list[tuple[str, str, str]]:
    """(job, state, node) of the tasks that wait or run."""
    told = subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i %T %N"], env=environment, check=True, capture_output=True, text=True
    ).stdout
    return [
        (parts[0], parts[1], parts[2] if len(parts) > 2 else "") for line in told.splitlines() if (parts := line.split())
    ]


def await_end(environment: dict[str, str], seconds: float) -> bool:
    """Wait until no task waits or runs; False where the time is over before."""
    return _await(lambda: not queue(environment), seconds)


def tell(environment: dict[str, str], job: str, name: str) -> None:
    """Send a running task a signal, as SLURM does before it preempts one."""
    command = ["scancel", f"--signal={name}", job]  # refused for an instant while a task of its array starts
    if not _await(lambda: subprocess.run(command, env=environment, capture_output=True).returncode == 0, _READY_SECONDS):
        raise RuntimeError(f"SLURM does not signal {job}")


def start_now(environment: dict[str, str], job: str) -> None:
    """Let a task that was put back into the queue start, which SLURM lets wait for two minutes."""

    def started() -> bool:
        subprocess.run(
            ["scontrol", "update", f"JobId={job}", "StartTime=now"], env=environment, capture_output=True, check=False
        )
        return [state for name, state, _ in queue(environment) if name == job] != ["PENDING"]

    _await(lambda: [state for name, state, _ in queue(environment) if name == job] == ["PENDING"], _READY_SECONDS)
    _await(started, _READY_SECONDS)


def processes_of(node: str) -> list[int]:
    """The processes of the tasks on a node, those of SLURM that started them among them."""
    found: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if f"SLURMD_NODENAME={node}\0" in (process / "environ").read_text(errors="replace"):
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                is_step = "slurmstepd" in Path(f"/proc/{parent}/comm").read_text()
                found |= {int(process.name), *([parent] if is_step else [])}
    return sorted(found)


def kill_node(environment: dict[str, str], node: str) -> None:
    """End a node's daemon and all of its tasks at once, as when its power fails."""
    daemon = Path(environment["SLURM_CONF"]).parent / "pid" / f"slurmd-{node}.pid"
    for pid in [int(daemon.read_text()), *processes_of(node)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _configuration(folder: Path, nodes: int, lost_after: int) -> str:
    host = socket.gethostname().split(".")[0]
    first = _free_ports(nodes + 1)
    lines = {
        "ClusterName": "bench",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": first[0],
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        "CryptoType": "crypto/munge",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU",
        "ReturnToService": 2,
        "JobRequeue": 1,
        "KillWait": 10,
        "SlurmdTimeout": lost_after,
        "MinJobAge": 300,
        "SchedulerParameters": "sched_interval=1,batch_sched_delay=0",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool" / "%n",
        "SlurmctldPidFile": folder / "pid" / "slurmctld.pid",
        "SlurmdPidFile": folder / "pid" / "slurmd-%n.pid",
        "SlurmctldLogFile": folder / "log" / "slurmctld.log",
        "SlurmdLogFile": folder / "log" / "slurmd-%n.log",
    }
    text = [f"{name}={value}" for name, value in lines.items()]
    for number, port in enumerate(first[1:], start=1):
        text.append(
            f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=8000 State=UNKNOWN"
        )
    text.append(f"PartitionName=short Nodes=n[1-{nodes}] Default=YES MaxTime=INFINITE State=UP")
    return "\n".join(text) + "\n"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _start_munge() -> Path | None:
    """Start munge where none runs; its pid file, or None where it ran already."""
    if _MUNGE_SOCKET.exists() and subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
        return None
    run = Path("/run/munge")
    run.mkdir(exist_ok=True)
    key = run / "bench.key"  # munge looks at all folders over it: it must be able to enter them
    key.unlink(missing_ok=True)
    key.write_bytes(os.urandom(1024))
    shutil.chown(run, "munge", "munge")
    shutil.chown(key, "munge", "munge")
    key.chmod(0o400)
    pid, log = run / "bench.pid", run / "bench.log"
    as_munge = ["runuser", "-u", "munge", "--", "munged", "--force"]
    subprocess.run(
        [*as_munge, f"--key-file={key}", f"--pid-file={pid}", f"--log-file={log}"], check=True, capture_output=True
    )
    return pid


def _await_nodes(folder: Path, nodes: int, environment: dict[str, str]) -> None:
    def idle() -> bool:
        told = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%T"], env=environment, capture_output=True, text=True
        )
        return told.stdout.split() == ["idle"] * nodes

    if not _await(idle, _READY_SECONDS):
        log = (folder / "log" / "slurmctld.log").read_text()[-2000:]
        raise RuntimeError(f"the nodes are not ready after {_READY_SECONDS:g} seconds: {log}")


def _await(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.3)
    return False


def _call(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=30)


def _end(pid_files: Sequence[Path]) -> None:
    pids = []
    for path in pid_files:
        with contextlib.suppress(OSError, ValueError):
            pids.append(int(path.read_text()))
            os.kill(pids[-1], signal.SIGTERM)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            for _ in range(100):
                os.kill(pid, 0)
                time.sleep(0.1)
            os.kill(pid, signal.SIGKILL)
