"""What a plug-in imports: the nouns, the cards, the base classes and the errors (they live in bench.core)."""

from bench.core.cells import Measurement, Track, Weights
from bench.core.errors import Unavailable, UserError
from bench.core.families import Setting, Size
from bench.core.interfaces import (
    Card,
    Dataset,
    DatasetCard,
    FeatureInput,
    FeatureProvider,
    GeometryEstimator,
    Model,
    PointmapInitialiser,
)
from bench.core.scenes import (
    Array,
    Camera,
    Initialisation,
    MonocularSample,
    MultiViewScene,
    Prediction,
    SceneSource,
    SparsePoints,
    View,
    rigid_inverse,
)

__all__ = [
    "Array",
    "Camera",
    "Card",
    "Dataset",
    "DatasetCard",
    "FeatureInput",
    "FeatureProvider",
    "GeometryEstimator",
    "Initialisation",
    "Measurement",
    "Model",
    "MonocularSample",
    "MultiViewScene",
    "PointmapInitialiser",
    "Prediction",
    "SceneSource",
    "Setting",
    "Size",
    "SparsePoints",
    "Track",
    "Unavailable",
    "UserError",
    "View",
    "Weights",
    "rigid_inverse",
]
