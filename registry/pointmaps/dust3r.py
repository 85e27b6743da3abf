"""`dust3r` and `mast3r`: point maps and cameras estimated from the photos alone, as the Feat2GS paper starts."""

from __future__ import annotations

from types import MappingProxyType

from bench.registry import pointmaps
from bench.types import Card
from registry.pointmaps._global_alignment import GlobalAlignment

_LICENSE = "CC-BY-NC-SA-4.0"
_REMEDY = (
    "clone {} with its submodules, install its requirements and put it on PYTHONPATH "
    "(licence: CC BY-NC-SA 4.0, non-commercial)"
)
_UNVERIFIED = "unverified on real weights"


@pointmaps.register("dust3r")
class DUSt3R(GlobalAlignment):
    """DUSt3R ViT-L, 512 pixels, DPT head, with its global alignment."""

    card = Card(name="DUSt3R", arch="ViT-L/16", stride=16, supervision="Point Regression", domain="3D", data="DUSt3R-Mix",
                license=_LICENSE, weights="hf:naver/DUSt3R_ViTLarge_BaseDecoder_512_dpt", paper="arXiv:2312.14132",
                note=_UNVERIFIED)  # fmt: skip
    network = "dust3r.model", "AsymmetricCroCo3DStereo"
    unit = 1.0  # the official probe leaves its points as they are
    needs = MappingProxyType({"dust3r": _REMEDY.format("github.com/naver/dust3r")})


@pointmaps.register("mast3r")
class MASt3R(GlobalAlignment):
    """MASt3R's metric point maps, brought together by DUSt3R's global alignment.

    The official probe takes MASt3R's own alignment by sparse matches instead.
    """

    card = Card(name="MASt3R", arch="ViT-L/16", stride=16, supervision="Point Regression", domain="3D", data="MASt3R-Mix",
                license=_LICENSE, weights="hf:naver/MASt3R_ViTLarge_BaseDecoder_512_catmlpdpt_metric",
                paper="arXiv:2406.09756", note=_UNVERIFIED)  # fmt: skip
    network = "mast3r.model", "AsymmetricMASt3R"
    needs = MappingProxyType({"mast3r": _REMEDY.format("github.com/naver/mast3r")})
