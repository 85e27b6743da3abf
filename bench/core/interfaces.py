"""What a plug-in implements: the cards, and one base class for each kind of plug-in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from bench.core.cells import Role, Start, Track, Weights
from bench.core.errors import UserError
from bench.core.families import Family
from bench.core.scenes import Array, Initialisation, MonocularSample, MultiViewScene, Prediction

if TYPE_CHECKING:
    import torch


_BYTES_PER_MILLION = 4_000_000


@dataclass(frozen=True)
class Card:
    """What a table or a leaderboard says of a model.

    Attributes:
        arch: E.g. "ViT-B/14".
        channels: Feature width before PCA; 0 for estimators.
        stride: Pixels a token.
        supervision: As the papers' tables name it.
        data: What it was trained on, by the words of bench.core.facts.training; () where that is not recorded,
            "undisclosed" where the publisher does not say.
        domain: "3D", "2D", "2.5D" or "-".
        weights: "hf:owner/name", "timm:name", "torchhub:…", "page:URL", or "" where none are needed.
        revision: What pins them: a commit of the hub's repository, else the file's sha256; "" where they are not pinned.
        paper: arXiv id or URL.
        role: Whether the model takes part in a ranking ("model"), is there to be beaten ("control"), knows nothing at all so
            that no score can lie below its own ("floor"), or reads the truth ("oracle").
        parameters: In millions; 0 where that is not known.
    """

    name: str
    arch: str = "-"
    channels: int = 0
    stride: int = 1
    supervision: str = "-"
    domain: str = "-"
    data: tuple[str, ...] = ()
    license: str = "-"
    weights: str = ""
    revision: str = ""
    paper: str = ""
    note: str = ""
    role: Role = "model"
    parameters: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.data, str):
            raise UserError(f'card {self.name}: data is a tuple of names, data=("{self.data}",), not a text')


@dataclass(frozen=True)
class DatasetCard:
    """What `bench list datasets` and `bench data where` say of a data set.

    folder: its folder under the data root; "" for an embedded one. url: where its publisher offers it. size_gb: download.
    """

    name: str
    scene_type: str = "-"
    complexity: str = "-"
    view_range: str = "-"
    train_views: str = "-"
    license: str = "-"
    url: str = ""
    folder: str = ""
    size_gb: float | None = None
    unit: str = "scene"
    note: str = ""


@dataclass(frozen=True, eq=False)
class FeatureInput:
    """What a feature provider may look at: the training photos of one scene, prepared alike for all providers.

    images: (B, 3, H, W) float32 in [0, 1], H and W multiples of 16 (on the probe's own grid for per-pixel providers).
    points: (B, H, W, 3) float32 ground-truth world positions where they are known, else None; only the oracle reads them.
    """

    images: torch.Tensor
    points: torch.Tensor | None = None


class Model(Family, ABC):
    """What a provider, an estimator and an initialiser share: a card, weights, and what is known before anything is loaded.

    A plug-in gives `card` and the abstract method of its kind; `load` where there is something to load.

    Attributes:
        needs: Packages beyond the suite's own, each with how to get it.
        random_weights: False where the network cannot be built without its checkpoint.
        weights: "pretrained", or "random" for the architecture with seeded random weights; "none" where the card names no
            weights, whatever was asked for, and "random" for an untrained twin.
        checkpoint: A local file or folder that stands in for the publisher's weights.
    """

    card: ClassVar[Card]
    needs: ClassVar[Mapping[str, str]] = MappingProxyType({})
    random_weights: ClassVar[bool] = True

    def __init__(self, weights: Weights = "pretrained", checkpoint: Path | None = None) -> None:
        self.weights: Weights = ("random" if self.untrained else weights) if self.card.weights else "none"
        self.checkpoint = None if self.untrained else checkpoint

    def load(self, device: torch.device) -> None:
        """Build the network and load its weights.

        Raises:
            Unavailable: Where weights or packages cannot be had.
        """

    @property
    def weights_digest(self) -> str:
        """What identifies weights whose files are not at hand: the source and whether they are pretrained or random."""
        return f"{self.weights}:{self.checkpoint or self.card.weights}"

    @classmethod
    def parameter_bytes(cls) -> int | None:
        """What its parameters take in memory, in single precision, as its card counts them; None where it does not."""
        return round(cls.card.parameters * _BYTES_PER_MILLION) or None


class FeatureProvider(Model):
    """A frozen vision model seen as a dense feature extractor. A plug-in gives `card`, `load` and `extract`.

    Attributes:
        per_pixel: True where the feature has one vector a pixel by nature (IUVRGB); it is then used as it is, without PCA.
        holds_scales: True where the probe keeps the Gaussians' log-scales near the initial ones, as the official code does
            for features that are coordinates (Feat2GS, `iuv` and `iuvrgb`).
    """

    per_pixel: ClassVar[bool] = False
    holds_scales: ClassVar[bool] = False

    @abstractmethod
    def extract(self, images: torch.Tensor) -> torch.Tensor:
        """Features of photos.

        Args:
            images: (B, 3, H, W) float32 in [0, 1].

        Returns:
            (B, h, w, C).
        """

    def extract_scene(self, scene: FeatureInput) -> torch.Tensor:
        """Features (B, h, w, C) of a whole scene; providers that need more than the photos override this."""
        return self.extract(scene.images)

    def covered(self, images: torch.Tensor) -> torch.Tensor:
        """The photos (B, 3, H', W') in [0, 1] over which the map of photos (B, 3, H, W) lies, edge to edge.

        Providers that pad the photos and keep the padding's features override this; an upsampler is guided by it.
        """
        return images


class GeometryEstimator(Model):
    """A model that predicts geometry from one photo. A plug-in gives `card`, `load` and `predict`."""

    @abstractmethod
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        """The prediction for one photo, at the same size.

        Args:
            image: (H, W, 3) uint8.
            intrinsics: (3, 3), normalised, where an estimator is allowed to see them.
        """

    def predict_sample(self, sample: MonocularSample) -> Prediction:
        """The prediction for a sample; only reference rows that read the truth (`oracle`) override this."""
        return self.predict(sample.image)


class PointmapInitialiser(Model):
    """Finds where the Gaussians start and where the cameras stand. A plug-in gives `card`, `start` and `initialise`.

    Attributes:
        start: What the point maps are made from: the photos ("estimated"), the truth with errors ("simulated"), the truth
            itself ("true").
        photo_side: The long side in pixels that it wants its photos to have at least; 0: what features are taken from will
            do. Short protocols take features from photos that are too small to find cameras in.
    """

    start: ClassVar[Start] = "estimated"
    photo_side: ClassVar[int] = 0

    @abstractmethod
    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        """Point maps and cameras of a scene.

        Raises:
            UserError: Where the scene lacks what this initialiser needs.
        """


class Dataset(ABC):
    """A set of scenes (probe track), of samples (geometry track) or both. `root`: the data root; None for embedded ones.

    A plug-in gives `card`, `tracks`, `scenes` and the loader of each of its tracks.
    """

    card: ClassVar[DatasetCard]
    tracks: ClassVar[tuple[Track, ...]] = ("probe",)
    default_pointmap: ClassVar[str] = "sparse"  #: the initialiser of the probe track where the user names none
    default_scenes: ClassVar[tuple[str, ...]] = ()  #: scenes and samples run where the user names none; () = all

    @abstractmethod
    def scenes(self, root: Path | None, track: Track) -> Sequence[str]:
        """Names of the scenes (or samples) found under the root. Raises Unavailable where the data set is not on disk."""

    @classmethod
    def found_under(cls, root: Path | None) -> Mapping[str, type[Dataset]]:
        """Data sets of this kind that lie under the data root by names of their own: name -> class; by default none."""
        return {}

    def pointmap_of(self, root: Path | None, name: str) -> str:
        """The initialiser of one scene where the user names none; by default the data set's."""
        return self.default_pointmap

    def load_scene(self, root: Path | None, name: str) -> MultiViewScene:
        """A scene of the probe track. Raises UserError naming the file at fault."""
        raise NotImplementedError("a data set of this track gives load_scene(root, name)")

    def load_sample(self, root: Path | None, name: str) -> MonocularSample:
        """A sample of the geometry track. Raises UserError naming the file at fault."""
        raise NotImplementedError("a data set of this track gives load_sample(root, name)")

    def scene_note(self, root: Path | None, name: str) -> str:
        """What a run says of a scene before it starts: photos that cannot be used, and why; "" for nothing."""
        return ""

    @abstractmethod
    def fingerprint(self, root: Path | None, name: str, track: Track) -> str:
        """A digest of everything on disk that decides what is loaded (for embedded data: the version of the generator)."""
