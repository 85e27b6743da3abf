"""Builds the optional C++ kernels and takes the published tables along; everything else is declared in pyproject.toml.

Each kernel is one file in bench/native, compiled once per instruction set. The one that fits the processor is chosen when it
is loaded (bench/native/__init__.py). An extension that does not compile is left out: the plain PyTorch path serves instead.
"""

import copy
import platform
import tempfile
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

COMMON = ["-O3", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fvisibility=hidden"]
X86 = {
    "base": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mavx2", "-mfma", "-mprefer-vector-width=512"],
}
VARIANTS = X86 if platform.machine().lower() in {"x86_64", "amd64"} else {"base": []}


class BuildApart(build_ext):
    """As many kernels at a time as there are processors, each with a folder of its own for its object files: those of a
    kernel's variants have the same names, and so have those of two builds at once."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = True

    def build_extension(self, ext: Extension) -> None:
        apart = copy.copy(self)
        with tempfile.TemporaryDirectory() as apart.build_temp:
            super(BuildApart, apart).build_extension(ext)


setup(
    cmdclass={"build_ext": BuildApart},
    packages=[*find_packages(include=["bench*", "registry*"]), "bench.published_tables", "bench.reproduced_tables"],
    # the papers' numbers and third parties' re-measurements travel with the package
    package_dir={"bench.published_tables": "results/published", "bench.reproduced_tables": "results/reproduced"},
    ext_modules=[
        Extension(
            f"bench.native._{source.stem}_{variant}",
            sources=[source.as_posix()],
            depends=[header.as_posix() for header in sorted(Path("bench/native").glob("*.hpp"))],
            extra_compile_args=COMMON + flags,
            extra_link_args=["-pthread"],
            optional=True,
        )
        for source in sorted(Path("bench/native").glob("*.cpp"))
        for variant, flags in VARIANTS.items()
    ],
)
