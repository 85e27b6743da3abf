"""Where weights come from: sources, caches, messages; no network is touched."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from bench import weights
from bench.types import Card, Unavailable, UserError


def _model(source: str, **attributes: Any) -> type[Any]:
    return type("Model", (), {"card": Card(name="Model", license="MIT", weights=source, note="a note"), **attributes})


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and a network that does not exist."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(weights, "_reachable", lambda host: False)
    return tmp_path


def _in_hub(root: Path, repository: str, file: str, content: bytes) -> Path:
    """A file where huggingface_hub keeps it."""
    folder = root / "hub" / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("0123abcd")
    path = folder / "snapshots" / "0123abcd" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_sources() -> None:
    assert weights.sources(_model("")) == ()
    assert weights.sources(_model("hf:a/b")) == ("hf:a/b/model.safetensors",)
    assert weights.sources(_model("hf:a/b", weights_files=("x/1.bin", "2.bin"))) == ("hf:a/b/x/1.bin", "hf:a/b/2.bin")
    assert weights.sources(_model("hf:a/b/c.pth")) == ("hf:a/b/c.pth",)
    assert weights.sources(_model("torchhub:https://e.org/f.pth")) == ("torchhub:https://e.org/f.pth",)
    assert weights.sources(_model("timm:resnet18")) == ()


@pytest.mark.parametrize("source", ["hf:a", "hf:a/b", "ftp://x", "torchhub:owner/name", ""])
def test_malformed_sources_are_refused(source: str) -> None:
    with pytest.raises(UserError, match="expected 'hf:owner/name'"):
        weights.cached(source)


def test_cached_files_are_found_without_a_network(caches: Path) -> None:
    assert weights.cached("hf:a/b/model.safetensors") is None
    path = _in_hub(caches, "a/b", "model.safetensors", b"12345")
    assert weights.cached("hf:a/b/model.safetensors") == path
    assert weights.locate("hf:a/b/model.safetensors", "b") == path
    assert weights.cached("hf:a/b/other.bin") is None
    kept = caches / "torch" / "checkpoints" / "f.pth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"1")
    assert weights.cached("torchhub:https://e.org/x/f.pth") == kept


@pytest.mark.parametrize("source", ["hf:owner/name/model.safetensors", "torchhub:https://e.org/f.pth"])
def test_without_a_network_the_message_says_what_where_from_and_what_to_do(source: str) -> None:
    with pytest.raises(Unavailable) as caught:
        weights.locate(source, "SomeModel")
    message = str(caught.value)
    for part in ("SomeModel", source, "cannot be reached", "bench weights fetch", "--weights random", "--checkpoint"):
        assert part in message
    assert "\n" not in message


def test_what_the_publisher_answers_is_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_reachable", lambda host: True)

    def refuse(*args: Any) -> str:
        raise PermissionError("401: this repository is gated\nand more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(Unavailable, match=r"401: this repository is gated\)"):
        weights.locate("hf:a/b/model.safetensors", "b")


def test_fetching_goes_to_the_right_place(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_reachable", lambda host: True)
    asked: list[tuple[str, ...]] = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(_in_hub(caches, repository, file, b"content"))

    def download_url(url: str, path: str, progress: bool) -> None:
        assert progress
        Path(path).write_bytes(b"from a url")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(torch.hub, "download_url_to_file", download_url)
    files = weights.fetch(_model("hf:a/b", weights_files=("x/1.bin", "2.bin")), "model")
    assert asked == [("a/b", "x/1.bin"), ("a/b", "2.bin")]
    assert [file.bytes for file in files] == [7, 7]
    weights.fetch(_model("hf:a/b", weights_files=("x/1.bin", "2.bin")), "model")
    assert len(asked) == 2, "what is cached is not asked for again"
    (file,) = weights.fetch(_model("torchhub:https://e.org/f.pth"), "model")
    assert file.path == caches / "torch" / "checkpoints" / "f.pth"
    assert weights.digest(file.path) == hashlib.sha256(b"from a url").hexdigest()
    assert weights.fetch(_model(""), "model") == ()


def test_check_tells_what_is_cached_and_how_large(caches: Path) -> None:
    model = _model("hf:a/b", weights_files=("1.bin", "2.bin"))
    state = weights.check(model, "model")
    assert (state.needed, state.cached, state.bytes, state.license, state.gated) == (True, False, None, "MIT", None)
    _in_hub(caches, "a/b", "1.bin", b"123")
    assert not weights.check(model, "model").cached, "a part is not the whole"
    _in_hub(caches, "a/b", "2.bin", b"12")
    state = weights.check(model, "model")
    assert (state.cached, state.bytes, state.note) == (True, 5, "a note")
    unneeded = weights.check(_model(""), "model")
    assert (unneeded.needed, unneeded.cached) == (False, False)
    elsewhere = weights.check(_model("timm:resnet18"), "model")
    assert elsewhere.needed
    assert "own package" in elsewhere.note


def test_check_online_asks_the_publisher_and_survives_its_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model("hf:a/b", weights_files=("1.bin", "2.bin"))
    assert weights.check(model, "model", online=True).gated is None
    monkeypatch.setattr(weights, "_reachable", lambda host: True)
    sizes = {"1.bin": 10, "2.bin": 20, "other": 99}
    siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in sizes.items()]

    def model_info(self: Any, repository: str, **options: Any) -> SimpleNamespace:
        assert repository == "a/b"
        return SimpleNamespace(gated="manual", siblings=siblings)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    state = weights.check(model, "model", online=True)
    assert (state.bytes, state.gated, state.cached) == (30, True, False)
    siblings.pop(0)
    assert weights.check(model, "model", online=True).bytes is None


def test_an_unreachable_host_is_told_at_once() -> None:
    with pytest.raises(ConnectionError, match=r"e\.org cannot be reached"):
        weights._must_reach("https://e.org/f.pth")
