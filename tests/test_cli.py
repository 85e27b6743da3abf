"""The command as users run it: a plug-in end to end, resuming after a kill, and one clear message for each mistake."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from plyfile import PlyData
from typer.testing import CliRunner

from bench import cli
from bench.machine import requirements
from bench.registry import datasets
from bench.results.schema import validate_rows
from bench.splat import read_ply

PLUGIN = '''
import torch
from bench.core.protocols import ProbeProtocol
from bench.registry import features, protocols
from bench.types import Card, FeatureProvider

protocols.register(
    ProbeProtocol(
        "short-v1",
        feature_long_side=96,
        grid_long_side=24,
        photo_width=None,
        pca_channels=3,
        iterations=6,
        warm_start=3,
        instantsplat_iterations=6,
        test_pose_steps=2,
        quick=True,
    )
)


@features.register("grid-colour")
class GridColour(FeatureProvider):
    """The mean colour of every patch of 16 pixels."""

    card = Card(name="Grid colour", channels=3, stride=16, license="Apache-2.0")

    def extract(self, images):
        return torch.nn.functional.avg_pool2d(images, 16).permute(0, 2, 3, 1)


@features.register("tinted")
class Tinted(GridColour):
    """The same, times a factor that is its weights."""

    card = Card(name="Tinted", channels=3, stride=16, weights="torchhub:https://localhost/tint.pt")

    def load(self, device):
        self.factor = torch.load(self.checkpoint, weights_only=True)

    def extract(self, images):
        return super().extract(images) * self.factor


@features.register("broken-feature")
class BrokenFeature(GridColour):
    def extract(self, images):
        return super().extract(images) * float("nan")
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # no test asks a network for LPIPS's backbone
    file = tmp_path / "my_plugin.py"
    file.write_text(PLUGIN)
    return file


def bench(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `bench ARGUMENTS`, run in this process."""
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def probe(plugin: Path, out: Path, model: str = "grid-colour", protocol: str = "short-v1") -> list[str]:
    run = ["run", "--plugin", str(plugin), "--models", model, "--modes", "T,instantsplat", "--scenes", "room"]
    return [*run, "--protocol", protocol, "--device", "cpu", "--jobs", "1", "--out", str(out)]


def test_what_the_system_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cells").mkdir()

    def refused(place: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(place))

    monkeypatch.setattr(os, "scandir", refused)
    assert bench("verify", str(tmp_path), monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'cells'}: Permission denied\n"


def test_a_plugin_runs_stands_in_the_report_and_is_not_run_twice(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "results", tmp_path / "report"
    command = [*probe(plugin, out), "--report", str(report)]
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert bench(*command, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert said.count("fetching the weights that LPIPS (VGG-16, 0.55 GB) needs, once: https://") == 1
    assert re.search(r"left out LPIPS \(VGG-16, 0\.55 GB\): https://\S+ cannot be fetched \(\S+ cannot be reached\)", said)
    rows = pd.read_parquet(out / "rows.parquet")
    assert validate_rows(rows) == []
    assert set(rows["model"]) == {"grid-colour", "instantsplat"}
    page = (report / "index.html").read_text()
    assert "Grid colour" in page
    assert "simulated" in page
    assert "quick" in page

    stamps = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    capsys.readouterr()
    assert bench(*command, monkeypatch=monkeypatch) == 0
    assert "2 of 2 cells are stored already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == stamps


def test_the_gaussians_of_a_cell_can_be_exported(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many as its rows say, before its cameras; a note where other code would run the cell."""
    out, file = tmp_path / "results", tmp_path / "room.ply"
    assert bench(*probe(plugin, out), "--no-report", monkeypatch=monkeypatch) == 0
    rows = pd.read_parquet(out / "rows.parquet").query("metric == 'gaussians' and mode == 'T'")
    command = ["export", rows["key"].item()[:12], "--from", str(out), "--to", str(file), "--plugin", str(plugin)]
    capsys.readouterr()
    assert bench(*command, monkeypatch=monkeypatch) == 0
    assert "may differ" not in capsys.readouterr().out
    assert bench(*command[:-4], "--to", str(file / "inside"), *command[-2:], monkeypatch=monkeypatch) == 2
    assert f"{file} is a file; choose another folder" in " ".join(capsys.readouterr().err.split())
    gaussians = read_ply(file)
    assert len(gaussians) == rows["value"].item()
    assert bench("export", "room/Q", "--from", str(out), monkeypatch=monkeypatch) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "no cell is 'room/Q'; name one by its words or its key's first digits: procedural/room/grid-colour/" in told
    assert bench("export", "room/grid-colour", "--from", str(out), monkeypatch=monkeypatch) == 2
    assert "'room/grid-colour' may mean 2 cells" in " ".join(capsys.readouterr().err.split())
    points = ["--from", str(out), "--to", str(tmp_path / "points.ply"), "--plugin", str(plugin), "--points"]
    assert bench("export", "room/grid-colour/T", *points, monkeypatch=monkeypatch) == 0
    assert PlyData.read(tmp_path / "points.ply")["vertex"].data.dtype.names == ("x", "y", "z", "red", "green", "blue")
    moving = ["--from", str(out), "--path", "interpolate", "--frames", "3", "--out", str(tmp_path / "x.webm")]
    assert bench("render", "room/grid-colour/T", *moving, monkeypatch=monkeypatch) == 2
    assert "ends in .gif or .mp4" in " ".join(capsys.readouterr().err.split())
    for view in datasets["procedural"]().load_scene(None, "room").train:
        assert view.camera is not None
        assert (view.camera.project(gaussians.means.double().numpy())[1] > 0).mean() > 0.5

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        view = ["view", command[1], "--from", str(out), "--port", port, "--plugin", str(plugin)]
        assert bench(*view, monkeypatch=monkeypatch) == 2
        said = capsys.readouterr().err
        assert f"--port {port} cannot be used" in said or "takes viser" in said

    monkeypatch.setattr("bench.core.version.NUMERICS_VERSION", "another")
    assert bench(*command[:4], "--to", str(tmp_path), *command[-2:], monkeypatch=monkeypatch) == 0
    assert "may differ" in capsys.readouterr().out
    assert (tmp_path / "procedural-room-grid-colour-T.ply").read_bytes() == file.read_bytes()


def test_local_weights_are_known_by_their_content(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same file is asked for wherever a cell is computed again; no result says where it lay."""
    out, home = tmp_path / "results", tmp_path / "home-of-ada"
    home.mkdir()
    torch.save(torch.tensor(0.5), home / "tint.pt")
    torch.save(torch.tensor(0.25), tmp_path / "other.pt")
    run = [*probe(plugin, out, "tinted"), "--modes", "T", "--no-report"]
    assert bench(*run, "--checkpoint", f"tinted={home / 'tint.pt'}", monkeypatch=monkeypatch) == 0
    rows = pd.read_parquet(out / "rows.parquet").query("track == 'probe'")
    assert set(rows["weights"]) == {"pretrained"}
    for file in (*out.glob("cells/*.json"), out / "rows.csv"):
        assert "home-of-ada" not in file.read_text(encoding="utf-8")

    moved = tmp_path / "renamed.bin"
    digest = hashlib.sha256((home / "tint.pt").read_bytes()).hexdigest()
    (home / "tint.pt").rename(moved)
    export = ["export", rows["key"].iloc[0], "--from", str(out), "--to", str(tmp_path / "x.ply"), "--plugin", str(plugin)]
    recompute = ["verify", str(out), "--recompute", "1", "--plugin", str(plugin)]
    for wrong in ([], ["--checkpoint", f"tinted={tmp_path / 'other.pt'}"]):
        capsys.readouterr()
        assert bench(*export, *wrong, monkeypatch=monkeypatch) == 2
        said = capsys.readouterr().err
        assert digest in said
        assert "--checkpoint tinted=PATH" in said
        assert not (tmp_path / "x.ply").exists()
        assert bench(*recompute, *wrong, monkeypatch=monkeypatch) == 0
        said = capsys.readouterr().out
        assert "0 of 1 cells computed anew" in said
        assert digest in said
    right = ["--checkpoint", f"tinted={moved}"]
    assert bench(*export, *right, monkeypatch=monkeypatch) == 0
    assert "may differ" not in capsys.readouterr().out
    assert len(read_ply(tmp_path / "x.ply"))
    assert bench(*recompute, *right, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "1 of 1 cells computed anew" in said
    assert "note" not in said
    assert bench("verify", str(out), *right, monkeypatch=monkeypatch) == 2


@pytest.mark.skipif(not os.environ.get("BENCH_FAULTS"), reason="takes a minute: `make faults` runs it")
def test_a_killed_run_goes_on_and_gives_the_rows_of_an_undisturbed_one(plugin: Path, tmp_path: Path) -> None:
    """As users start it; `tests/run/test_kills.py` kills runs at every instant."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"

    def run(out: Path) -> list[str]:
        return [sys.executable, "-m", "bench.cli", *probe(plugin, out, protocol="quick-v1"), "--no-report"]

    process = subprocess.Popen(run(killed), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not _probes(killed):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no cell was stored in time"
        time.sleep(0.02)
    process.kill()
    process.wait()
    stored = _probes(killed)
    if len(stored) == 2:
        pytest.skip("the machine was too slow to kill the run between its two cells")
    first = stored[0]["finished"]
    for folder in (killed, whole):
        subprocess.run(run(folder), check=True, stdout=subprocess.DEVNULL)
    assert first in {record["finished"] for record in _probes(killed)}
    cost = ["seconds", "peak_memory_mb", "read_mb"]
    rows = [pd.read_parquet(folder / "rows.parquet").drop(columns=cost) for folder in (killed, whole)]
    pd.testing.assert_frame_equal(*rows)  # the features' cost too: it is that of the one time that they were made


def _probes(folder: Path) -> list[dict[str, Any]]:
    """The stored cells of the probe track."""
    cells = [json.loads(path.read_text()) for path in (folder / "cells").glob("[0-9a-f]*.json")]
    return [cell for cell in cells if cell["cell"]["track"] == "probe"]


def test_a_feature_with_nan_fails_its_cells_with_the_reason(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*probe(plugin, tmp_path / "results", "broken-feature"), "--modes", "T", "--no-report"]
    assert bench(*command, monkeypatch=monkeypatch) == 1
    assert "broken-feature: 216 of 216 feature values are NaN or infinite" in capsys.readouterr().err.replace("\n", " ")
    rows = pd.read_csv(tmp_path / "results" / "rows.csv")
    (row,) = rows[rows["track"] == "probe"].to_dict("records")
    assert row["status"] == "failed"
    assert not (rows["track"] == "perf").any(), "what was not made has no cost"


def test_all_lists_what_cannot_run_here_and_a_name_stops_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(requirements, "is_installed", lambda name: name != "vggt")
    monkeypatch.setattr(requirements, "free_bytes", lambda device: 10**9)
    arguments = ["run", "--weights", "random", "--modes", "G", "--scenes", "room", "--dry-run"]
    assert bench(*arguments, "--models", "all", monkeypatch=monkeypatch) == 0
    listed = capsys.readouterr().out
    assert "left out model vggt-decoder: vggt-decoder needs the package vggt: install it" in listed
    assert "left out model radio: radio does not fit: its parameters alone take 2.6 GB" in listed
    assert "model dino:" not in listed
    assert bench(*arguments, "--models", "rgb,vggt-decoder", monkeypatch=monkeypatch) == 2
    assert "vggt-decoder needs the package vggt" in capsys.readouterr().err


def test_a_dry_run_says_what_it_will_take(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights that are not here (an untrained twin needs none), time, memory, disk, protocols for a GPU."""
    out = tmp_path / "results"
    dry = ["run", "--modes", "G", "--scenes", "room", "--device", "cpu", "--out", str(out), "--dry-run"]
    monkeypatch.setattr("bench.machine.weights.cached", lambda source: None)
    assert bench(*dry, "--models", "dino,dino@untrained,rgb", "--protocol", "paper-v1", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "to be fetched first: dino, LPIPS (VGG-16, 0.55 GB);" in said
    assert re.search(
        r"for all of them, time: about [\d.]+ (hours|days), .* by a twentieth of the protocol's time limit", said
    )
    assert re.search(r"memory: about \d+ GB a worker; disk: not known", said)
    assert "paper-v1 is made for a GPU: 8000 iterations" in said
    assert not out.exists()
    assert bench(*probe(plugin, out), "--no-report", monkeypatch=monkeypatch) == 0
    capsys.readouterr()
    assert bench(*probe(plugin, out), "--no-report", "--dry-run", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out.replace("\n", " ")
    assert re.search(r"for all of them, time: about \d+ s, .* by cells that are stored here", said)
    assert "fetched first: LPIPS (VGG-16, 0.55 GB);" in said
    assert "made for a GPU" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "dinov22"], "did you mean dinov2"),
        (["--models", "rgb+nothing"], "'nothing'"),
        (["--datasets", "lllff"], "did you mean llff"),
        (["--models", "rgb", "--scenes", "atlantis"], "no scene 'atlantis'"),
        (["--modes", "Q"], "no mode is named 'Q'"),
        (["--seeds", "one"], "'one' is not a whole number"),
        (["--weights", "some"], "must be one of pretrained, random"),
        (["--engine", "cloud"], "must be one of local, ray"),
        (["--checkpoint", "dino"], "write NAME=PATH"),
        (["--checkpoint", "dino="], "write NAME=PATH"),
        (["--checkpoint", "dinno=x"], "no model is named 'dinno'"),
        (["--checkpoint", "rgb=/"], "rgb has no weights"),
        (["--checkpoint", "dino=nowhere"], "there is no file nowhere"),
        (["--checkpoint", "dino=/", "--checkpoint", "dino=/"], "dino is given twice"),
        (["--checkpoint", "dino=/", "--weights", "random"], "give one of them"),
        (["--data-root", "/nowhere/at/all"], "there is no folder"),
        (["--plugin", "absent.py"], "no such file"),
        (["--out", ""], "--out: name a folder; it is empty"),
        (["--models", ""], "--models: name at least one"),
        (["--modes", ","], "--modes: name at least one"),
        (["--seeds", ""], "--seeds: name at least one"),
        (["--seeds", "4294967296"], "4294967296 is too large"),
        (["--protocol", "paper-v1,quick-v1"], "paper-v1 and quick-v1 are of one track"),
        (["--report", "/dev/null/report"], "/dev/null is a file"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bench("run", *arguments, monkeypatch=monkeypatch) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_cannot_be_written_to_stops_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["run", "--models", "rgb", "--modes", "T", "--scenes", "room", "--out", str(tmp_path / "file" / "results")]
    assert bench(*arguments, monkeypatch=monkeypatch) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["show", "psnr"], 0, "peak signal-to-noise ratio"),
        (["show", "quick-v1"], 0, "grid_long_side"),
        (["show", "rgb"], 0, "Apache-2.0"),
        (["show", "pnsr"], 2, "nothing is named 'pnsr'"),
        (["list", "modells"], 2, "there are models, estimators"),
        (["weights", "check", "--models", ""], 2, "--models: name at least one"),
        (["weights", "check", "--models", "rgb,iuv"], 0, "rgb, iuv: there are no weights to fetch"),
        (["weights", "fetch", "--models", "rgb"], 0, "rgb: there are no weights to fetch"),
        (["export", "abc", "--from", "nowhere"], 2, "nowhere holds no results"),
        (["report", "nowhere"], 2, "nowhere holds no results"),
        (["compare", "nowhere"], 2, "nowhere holds no results"),
        (["verify", "nowhere"], 2, "nowhere holds no results"),
        (["data", "check", "lllff"], 2, "did you mean llff"),
        (["view", "abc", "--port", "99999"], 2, "--port"),
        (["data", "convert", "nowhere", "there"], 2, "nowhere: there is no such folder"),
    ],
)
def test_the_other_commands_say_what_is_wrong(
    command: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bench(*command, monkeypatch=monkeypatch) == code
    captured = capsys.readouterr()
    assert said in " ".join((captured.err if code else captured.out).split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["models", "estimators", "datasets", "pointmaps", "protocols", "metrics"])
def test_everything_can_be_listed(kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("list", kind, monkeypatch=monkeypatch) == 0
    assert len(capsys.readouterr().out.splitlines()) > 4


def test_the_bare_command_helps_and_says_its_version() -> None:
    alone, version = CliRunner().invoke(cli.app, []), CliRunner().invoke(cli.app, ["--version"])
    assert alone.exit_code == version.exit_code == 0
    assert "Usage" in alone.output
    assert re.fullmatch(r"vfm3d-bench \d+\.\d+\.\d+", version.output.strip())
