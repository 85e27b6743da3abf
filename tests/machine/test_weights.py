"""Where weights come from: sources, caches, messages, downloads; no network is touched but this machine's own."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from rich.console import Console

from bench import cli
from bench.commands.listing import list_command
from bench.commands.weights import check_command
from bench.core.registry import features
from bench.machine import requirements, weights
from bench.types import Card, FeatureProvider, Unavailable, UserError


def _model(source: str, revision: str = "", **attributes: Any) -> type[Any]:
    card = Card(name="Model", license="MIT", weights=source, revision=revision, note="a note")
    return type("Model", (), {"card": card, **attributes})


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
    assert weights.sources(_model("page:https://e.org/share")) == ("page:https://e.org/share",)
    assert weights.sources(_model("timm:resnet18")) == ()


@pytest.mark.parametrize("source", ["hf:a", "hf:a/b", "ftp://x", "torchhub:owner/name", "page:e.org", ""])
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


def test_what_is_downloaded_by_hand_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_reachable", lambda host: pytest.fail("asked the network"))
    model = _model("page:https://e.org/share")
    assert weights.cached("page:https://e.org/share") is None
    state = weights.check(model, "model", online=True)
    assert (state.needed, state.cached, state.bytes, state.gated) == (True, False, None, None)
    with pytest.raises(Unavailable, match=r"model: .* https://e.org/share for download by hand; .*--checkpoint"):
        weights.fetch(model, "model")


def test_what_the_publisher_answers_is_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_reachable", lambda host: True)

    def refuse(*args: Any, **options: Any) -> str:
        raise PermissionError("401: this repository is gated\nand more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(Unavailable, match=r"401: this repository is gated\)"):
        weights.locate("hf:a/b/model.safetensors", "b")


def test_fetching_goes_to_the_right_place(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_reachable", lambda host: True)
    asked: list[tuple[str, ...]] = []

    def download(repository: str, file: str, revision: str | None) -> str:
        assert revision is None
        asked.append((repository, file))
        return str(_in_hub(caches, repository, file, b"content"))

    def download_url(url: str, path: Path) -> None:
        path.write_bytes(b"from a url")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(weights, "download", download_url)
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
    siblings = [SimpleNamespace(rfilename=name, size=size, lfs=None, blob_id=name) for name, size in sizes.items()]

    def model_info(self: Any, repository: str, **options: Any) -> SimpleNamespace:
        assert repository == "a/b"
        return SimpleNamespace(gated="manual", siblings=siblings, sha="c0ffee")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    state = weights.check(model, "model", online=True)
    assert (state.bytes, state.gated, state.cached) == (30, True, False)
    siblings.pop(0)
    assert weights.check(model, "model", online=True).bytes is None


#: The hub's commits, each with what it holds: file -> (size, sha256 or None for a small file, git's identifier).
COMMITS = {
    "0123abcd": {"model.safetensors": (9, "aa", "1"), "config.json": (2, None, "c")},
    "1111aaaa": {"model.safetensors": (9, "aa", "2"), "config.json": (2, None, "c"), "README.md": (5, None, "r")},
    "2222bbbb": {"model.safetensors": (9, "bb", "3"), "config.json": (2, None, "c")},
    "3333cccc": {"model.safetensors": (9, "aa", "1")},
}


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hub, of which the last of this list is the newest commit."""
    history = ["0123abcd"]

    def model_info(self: Any, repository: str, revision: str | None, **options: Any) -> SimpleNamespace:
        files = COMMITS[revision or history[-1]]
        siblings = [
            SimpleNamespace(rfilename=name, size=size, blob_id=blob, lfs=sha and SimpleNamespace(sha256=sha))
            for name, (size, sha, blob) in files.items()
        ]
        return SimpleNamespace(gated=False, siblings=siblings, sha=revision or history[-1])

    monkeypatch.setattr(weights, "_reachable", lambda host: True)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    return history


BOTH = ("config.json", "model.safetensors")


@pytest.mark.parametrize(
    ("newest", "moved"),
    [("0123abcd", "newest"), ("1111aaaa", "same files"), ("2222bbbb", "other files"), ("3333cccc", "other files")],
)
def test_whether_the_hub_has_moved_on(caches: Path, commits: list[str], newest: str, moved: str) -> None:
    commits.append(newest)
    unpinned = _model("hf:a/b", weights_files=BOTH)
    assert weights.check(unpinned, "model", online=True).moved is None, "nothing is here to compare with"
    pinned = _model("hf:a/b", weights_files=BOTH, revision="0123abcd")
    assert weights.check(pinned, "model", online=True).moved == moved
    for file in BOTH:
        _in_hub(caches, "a/b", file, b"12")
    state = weights.check(unpinned, "model", online=True)
    assert (state.moved, state.held, state.revision) == (moved, "0123abcd", "")
    assert weights.check(unpinned, "model").moved is None, "nobody was asked"


def test_a_pinned_repository_is_asked_for_at_its_commit(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model("hf:a/b/c/d.pth", revision="4444dddd")
    (source,) = weights.sources(model)
    assert source == "hf:a/b@4444dddd/c/d.pth"
    _in_hub(caches, "a/b", "c/d.pth", b"of another commit")
    assert weights.cached(source) is None
    asked: list[Any] = []
    monkeypatch.setattr(weights, "_reachable", lambda host: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **options: asked.append((args, options)) or "x")
    weights.locate(source, "model")
    assert asked == [(("a/b", "c/d.pth"), {"revision": "4444dddd"})]


def test_a_file_of_another_digest_than_the_pinned_one_is_refused(caches: Path) -> None:
    kept = caches / "torch" / "checkpoints" / "f.pth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"as pinned")
    (source,) = weights.sources(_model("torchhub:https://e.org/f.pth", revision=hashlib.sha256(b"as pinned").hexdigest()))
    assert weights.locate(source, "model") == kept
    kept.write_bytes(b"something else")
    with pytest.raises(Unavailable, match=r"f\.pth is not the file that the card pins"):
        weights.locate(source, "model")


def test_what_travels_in_packages_is_pinned_as_it_is_installed() -> None:
    for name in features:
        for size in features[name].sizes or ("",):
            model = features[f"{name}:{size}" if size else name]
            if model.card.weights.startswith("package:"):
                (source,) = weights.sources(model)
                path = weights.cached(source)
                assert source.endswith(f"@{model.card.revision}")
                assert path is None or weights.digest(path) == model.card.revision


def test_the_command_says_pinned_or_not_and_whether_the_hub_moved_on(
    caches: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commits.append("2222bbbb")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(caches / "hub"))
    _in_hub(caches, "timm/vit_base_patch16_224.dino", "model.safetensors", b"12")
    console = Console(width=300, record=True)
    check_command(["dino", "disk", "mae"], True, console)
    lines = {line.split("│")[1].strip(): line for line in console.export_text().splitlines() if line.startswith("│")}
    assert "not pinned; cached 0123abcd" in lines["dino"]
    assert "moved on, OTHER files" in lines["dino"]
    assert "9c2ee4ded238" in lines["disk"]
    assert "not pinned" in lines["mae"]
    assert " ? " in lines["mae"]


def test_an_unreachable_host_is_told_at_once() -> None:
    with pytest.raises(ConnectionError, match=r"e\.org cannot be reached"):
        weights._must_reach("https://e.org/f.pth")


# ------------------------------------------------------------------------------------------------------------ identity


class _Provider(FeatureProvider):
    card = Card(name="Provider", weights="hf:a/b")
    weights_files = ("1.bin", "2.bin")

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def test_pretrained_weights_are_identified_by_their_content_where_it_is_at_hand(caches: Path) -> None:
    assert weights.identity(_Provider()) == "pretrained:hf:a/b"
    _in_hub(caches, "a/b", "1.bin", b"one")
    assert weights.identity(_Provider()) == "pretrained:hf:a/b", "a part is not the whole"
    second = _in_hub(caches, "a/b", "2.bin", b"two")
    digests = [hashlib.sha256(content).hexdigest() for content in (b"one", b"two")]
    both = hashlib.sha256(f'{{"1.bin": "{digests[0]}", "2.bin": "{digests[1]}"}}'.encode()).hexdigest()
    assert weights.identity(_Provider()) == f"pretrained:sha256:{both}"
    assert weights.identity(_Provider(checkpoint=second.parent)) == f"pretrained:sha256:{both}", "a copy of the repository"
    assert weights.identity(_Provider("random")) == "random:hf:a/b"
    second.write_bytes(b"three: the publisher's file was replaced")
    assert weights.identity(_Provider()) != f"pretrained:sha256:{both}"
    local = caches / "local.bin"
    local.write_bytes(b"one")
    assert weights.identity(_Provider(checkpoint=local)) == f"pretrained:sha256:{digests[0]}"


def test_a_local_folder_is_identified_by_all_that_lies_in_it(tmp_path: Path) -> None:
    """Shards, variants and configurations under any name; not by its own name, nor by what a downloader notes there."""

    def of(name: str, files: dict[str, bytes]) -> str:
        for file, content in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return weights.identity(_Provider(checkpoint=tmp_path / name))

    files = {"1.bin": b"one", "unet/model-00001-of-00002.safetensors": b"shard"}
    first = of("a", files)
    assert re.fullmatch("pretrained:sha256:[0-9a-f]{64}", first)
    assert of("b", {**files, ".cache/huggingface/1.bin.metadata": b"a date"}) == first
    others = [
        of("c", {**files, "unet/model-00001-of-00002.safetensors": b"another shard"}),
        of("d", {**files, "unet/model-00002-of-00002.safetensors": b"shard"}),
        of("e", {"1.bin": b"one", "unet/model.fp16.safetensors": b"shard"}),
    ]
    (tmp_path / "empty").mkdir()
    assert len({first, *others, of("empty", {})}) == 5
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "1.bin").symlink_to(tmp_path / "a" / "1.bin")
    (linked / "unet").symlink_to(tmp_path / "a" / "unet")
    (linked / "unet" / "round").symlink_to(linked)
    assert of("linked", {}) == first, "links are what they lead to"


def test_the_hubs_files_are_known_by_what_they_hold_not_by_their_names(caches: Path) -> None:
    """Its client names a large file by the digest that the publisher states, whatever arrived."""
    path = _in_hub(caches, "a/b", "1.bin", b"")
    blob = caches / "hub" / "models--a--b" / "blobs" / ("5" * 64)
    blob.parent.mkdir()
    blob.write_bytes(b"something else")
    path.unlink()
    path.symlink_to(blob)
    assert weights.digest(path) == hashlib.sha256(b"something else").hexdigest()


# ----------------------------------------------------------------------------------------------------------- downloads


def test_the_command_covers_providers_estimators_and_initialisers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "weights", "check"])
    with pytest.raises(SystemExit):
        cli.main()
    lines = capsys.readouterr().out.splitlines()
    for use, name in (("probe", "dinov2"), ("geometry", "marigold"), ("point map", "dust3r"), ("point map", "vggt")):
        assert any(name[:4] in line and use in line for line in lines), (use, name)
    monkeypatch.setattr("sys.argv", ["bench", "weights", "fetch", "--models", "mast3r"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    complaints = capsys.readouterr().err
    assert "model.safetensors" in complaints, "the provider's weights"
    assert "config.json" in complaints, "the initialiser's, which come with their configuration"


def test_lists_tell_the_state_of_weights_and_packages(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "is_installed", lambda name: name != "vggt")
    for file in ("config.json", "model.safetensors"):
        _in_hub(caches, "naver/DUSt3R_ViTLarge_BaseDecoder_512_dpt", file, b"1")
    console = Console(width=250, record=True)
    list_command("pointmaps", console)
    rows = [line.strip("│").split("│") for line in console.export_text().splitlines() if line.startswith("│")]
    states = {row[0].strip(): row[-1].strip() for row in rows}
    wanted = {"sparse": "-", "dust3r": "cached", "mast3r": "to be fetched", "vggt": "package absent"}
    assert {name: states[name] for name in wanted} == wanted
