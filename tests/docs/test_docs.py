"""The pages of the documentation: their examples run, their links lead somewhere, and they name what exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.core.registry import datasets, estimators, features, load_plugin, pointmaps
from bench.results.reference.published import published_rows

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "bench" / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PLUGINS = re.findall(r"```python\n(.*?)```", (DOCS / "plugins.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def test_every_kind_of_plug_in_has_an_example_that_runs(tmp_path: Path) -> None:
    import numpy as np
    import torch

    for number, text in enumerate(PLUGINS):
        file = tmp_path / f"docs_example_{number}.py"
        file.write_text(text)
        load_plugin(str(file))
    assert features["example-colours"]().extract(torch.rand(1, 3, 32, 48)).shape == (1, 2, 3, 3)
    walls = datasets["example-walls"]()
    sample = walls.load_sample(None, "grey")
    assert estimators["example-wall"]().predict(sample.image).depth_scale_invariant.shape == sample.depth.shape
    assert pointmaps["example-truth"].start == "true"
    scene = datasets["procedural"]().load_scene(None, "room")
    found = pointmaps["example-truth"]().initialise(scene, 0)
    assert len(found.points) == len(scene.train)
    assert np.isfinite(found.points[0][found.masks[0]]).all()


def test_the_python_example_runs_as_a_script_and_leaves_its_process_as_it_was(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    watched = """
import os, torch
def state():
    return os.getcwd(), torch.get_num_threads(), torch.get_default_dtype(), torch.get_float32_matmul_precision(), \
        torch.random.get_rng_state().sum().item(), torch.is_grad_enabled(), dict(os.environ)
"""
    example = example.replace("    main()\n", "    before = state()\n    main()\n    assert state() == before\n")
    (tmp_path / "example.py").write_text(watched + example)
    command = [sys.executable, "example.py"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "iuvrgb" in shown.stdout
    assert (tmp_path / "reports/first/index.html").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [*re.findall(r"\]\(([^)#\s]+)[^)]*\)", text), *re.findall(r'src="([^"]+)"', text)]
    lost = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_files_and_commands_that_pages_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = [path.rstrip("/.") for path in re.findall(r"`((?:bench|registry|tests)/[\w./-]+)`", text)]
    assert not [path for path in paths if not (ROOT / path).exists()]
    from typer.main import get_command

    from bench.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"`bench ([a-z]+)\b", text)) | set(re.findall(r"^bench ([a-z]+)\b", text, flags=re.MULTILINE))
    assert named <= known


def test_the_pages_render_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs-material (extra dev) is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "index.html").is_file()


def test_the_published_values_that_the_readme_names_are_those_of_the_tables() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = published_rows()
    rows = rows[~rows["model"].str.contains("[@+]|instantsplat|^-$") & (rows["dataset"] != "dtu")]
    means = rows[(rows["alignment"] == "disparity_affine_invariant") & (rows["dataset"] == "all")]
    printed = means.pivot(index="model", columns="metric", values="value")[["rel", "delta"]] * 100
    shown = re.findall(r"^\| (?:MiDaS V3.1|Depth Anything V\d|MoGe) \| ([\d.]+) \| ([\d.]+) \|$", text, flags=re.MULTILINE)
    assert sorted(shown) == sorted((f"{rel:.2f}", f"{delta:.1f}") for rel, delta in printed.itertuples(index=False))
    psnr = rows[(rows["metric"] == "psnr") & (rows["dataset"] != "all")]
    by_mode = psnr.pivot_table("value", "model", "mode", aggfunc="mean")
    own, networks = by_mode.loc["iuvrgb"], by_mode.drop("iuvrgb")
    assert len(networks) == 12
    assert f"twelve networks lie within {networks['G'].max() - networks['G'].min():.1f} dB" in text
    assert f"is {networks['G'].min() - own['G']:.1f} dB below the last of them" in text
    assert own["T"] > networks["T"].max()
