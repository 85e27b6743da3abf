"""Stand-ins for packages of estimators: each follows the signatures of its package's sources and checks what it is given."""

from __future__ import annotations

PACKAGES = ("dust3r", "mast3r", "vggt", "unidepth", "unik3d", "xformers", "mono", "mmcv", "depth_anything_3")

#: github.com/naver/dust3r: dust3r/model.py, inference.py, post_process.py
DUST3R_MODEL = """
import torch

class AsymmetricCroCo3DStereo(torch.nn.Module):
    focal = 1.2  # in widths of the photo

    @classmethod
    def from_pretrained(cls, folder, strict=False):
        assert strict and isinstance(folder, str)
        return cls()

    def forward(self, view1, view2):
        image = view1["img"]
        assert torch.equal(image, view2["img"]) and image.min() >= -1 and image.max() <= 1
        height, width = image.shape[-2:]
        assert height % 16 == 0 and width % 16 == 0 and max(height, width) == 512
        assert view1["instance"] != view2["instance"] and view1["idx"] != view2["idx"]
        assert view1["true_shape"].tolist() == [[height, width]]
        # A slanted surface; the principal point is at (width / 2, height / 2) where the first pixel's centre is (0, 0).
        u, v = torch.meshgrid(torch.arange(width) * 1.0, torch.arange(height) * 1.0, indexing="xy")
        z = 2 + u / width
        focal = self.focal * width
        points = torch.stack([(u - width / 2) / focal * z, (v - height / 2) / focal * z, z], -1)[None]
        return {"pts3d": points, "conf": torch.ones_like(z)[None]}, {"pts3d_in_other_view": points + 9, "conf": None}
"""
MAST3R_MODEL = """
from dust3r.model import AsymmetricCroCo3DStereo

class AsymmetricMASt3R(AsymmetricCroCo3DStereo):
    focal = 0.9
"""
DUST3R_INFERENCE = """
import numpy as np
import torch

def _collate(view):
    as_tensor = {key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for key, value in view.items()}
    return {key: [value] if isinstance(value, (int, str)) else value for key, value in as_tensor.items()}

def inference(pairs, model, device, batch_size=8, verbose=True):
    assert batch_size == 1 and not verbose
    (first, second), = pairs
    view1, view2 = _collate(first), _collate(second)
    pred1, pred2 = model(view1, view2)
    return {"view1": view1, "view2": view2, "pred1": pred1, "pred2": pred2, "loss": None}
"""
DUST3R_POST_PROCESS = """
import torch

def estimate_focal_knowing_depth(pts3d, pp, focal_mode="median", min_focal=0.0, max_focal=float("inf")):
    assert focal_mode == "weiszfeld" and pts3d.ndim == 4 and pp.shape == (2,)
    height, width = pts3d.shape[1:3]
    u, v = torch.meshgrid(torch.arange(width) * 1.0, torch.arange(height) * 1.0, indexing="xy")
    pixels = torch.stack([u, v], -1) - pp
    seen = pts3d[..., :2] / pts3d[..., 2:]
    return ((seen * pixels).sum() / (seen * seen).sum())[None]
"""

#: github.com/facebookresearch/vggt: vggt/models/vggt.py, vggt/utils/pose_enc.py
VGGT_MODEL = """
import torch

class VGGT(torch.nn.Module):
    @classmethod
    def from_pretrained(cls, folder, strict=False):
        assert strict and isinstance(folder, str)
        return cls()

    def forward(self, images, query_points=None):
        assert images.ndim == 5 and images.shape[:2] == (1, 1) and images.min() >= 0 and images.max() <= 1
        height, width = images.shape[-2:]
        assert height % 14 == 0 and width % 14 == 0 and max(height, width) == 518
        disparity = torch.linspace(1, 0.5, width).expand(height, width)
        # translation, quaternion, vertical and horizontal field of view
        pose = torch.tensor([[[5.0, 0, 0, 0, 0, 0, 1, 0.7, 0.9]]])
        return {"pose_enc": pose, "depth": (1 / disparity)[None, None, ..., None],
                "depth_conf": torch.ones(1, 1, height, width)}
"""
VGGT_POSES = """
import torch

def pose_encoding_to_extri_intri(pose_encoding, image_size_hw=None, pose_encoding_type="absT_quaR_FoV"):
    height, width = image_size_hw
    extrinsics = torch.cat([torch.eye(3), pose_encoding[0, 0, :3, None]], -1)[None, None]
    intrinsics = torch.eye(3).repeat(1, 1, 1, 1)
    intrinsics[..., 0, 0] = width / 2 / torch.tan(pose_encoding[..., 8] / 2)
    intrinsics[..., 1, 1] = height / 2 / torch.tan(pose_encoding[..., 7] / 2)
    intrinsics[..., 0, 2], intrinsics[..., 1, 2] = width / 2, height / 2
    return extrinsics, intrinsics
"""

#: github.com/lpiccinelli-eth/UniDepth: unidepth/models/unidepthv1/unidepthv1.py and unidepthv2/unidepthv2.py
UNIDEPTH_MODELS = """
import torch
from safetensors.torch import load_file

class _Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)
        self.shared = self.first

    @classmethod
    def from_pretrained(cls, folder):
        model = cls()
        model.load_state_dict(load_file(folder + "/model.safetensors"), strict=False)
        return model

    def _answer(self, rgb, camera, metres):
        assert rgb.ndim == 3 and rgb.dtype == torch.uint8
        height, width = rgb.shape[1:]
        if camera is not None:
            assert camera.dtype == torch.float32 and camera.shape == (3, 3)
            metres = metres * float(camera[0, 0]) / width
        intrinsics = torch.tensor([[[0.8 * width, 0, 0.5 * width], [0, 0.7 * height, 0.4 * height], [0, 0, 1.0]]])
        depth = torch.full((1, 1, height, width), metres)
        return {"depth": depth, "points": torch.cat([0 * depth, 1 + 0 * depth, depth], 1), "intrinsics": intrinsics}

class UniDepthV1(_Model):
    def infer(self, rgbs, intrinsics=None, skip_camera=False):
        return self._answer(rgbs, intrinsics, 3.0)

class UniDepthV2(_Model):
    def infer(self, rgb, camera=None, normalize=True):
        return self._answer(rgb, camera, 5.0)
"""

#: github.com/lpiccinelli-eth/UniK3D at 29f7862: unik3d/models/unik3d.py (infer), unik3d/utils/camera.py (Pinhole)
UNIK3D_MODELS = """
import torch
from safetensors.torch import load_file

class UniK3D(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)

    @classmethod
    def from_pretrained(cls, folder):
        model = cls()
        model.load_state_dict(load_file(folder + "/model.safetensors"), strict=False)
        return model

    def infer(self, rgb, camera=None, rays=None, normalize=True):
        assert rgb.ndim == 3 and rgb.dtype == torch.uint8 and rays is None and normalize and not self.training
        height, width = rgb.shape[1:]
        focal, metres = (0.8 * width, 0.7 * height), 3.0
        if camera is not None:
            assert camera.K.shape == (1, 3, 3) and camera.K.dtype == torch.float32
            focal = float(camera.K[0, 0, 0]), float(camera.K[0, 1, 1])
            metres = metres * focal[0] / width
        # Pixels' centres are at halves.
        u, v = torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy")
        rays = torch.stack([(u - width / 2) / focal[0], (v - height / 2) / focal[1], torch.ones_like(u)])[None]
        points = rays * metres
        return {"points": points, "depth": points[:, -1:], "distance": points.norm(dim=1, keepdim=True),
                "rays": rays / rays.norm(dim=1, keepdim=True), "confidence": torch.ones(1, 1, height, width)}
"""
UNIK3D_CAMERA = """
class Pinhole:
    def __init__(self, params=None, K=None):
        assert params is None
        self.K = K
"""

#: github.com/YvanYin/Metric3D: hubconf.py, mono/model/monodepth_model.py, mono/model/decode_heads
METRIC3D_HUB = """
dependencies = ["torch"]
from mmcv.utils import Config
from mono.network import DepthModel

def metric3d_vit_large(pretrain=False, **kwargs):
    assert not pretrain
    return DepthModel()
"""
METRIC3D_NETWORK = """
import torch

class Decoder(torch.nn.Module):
    min_val, max_val, num_depth_regressor_anchor = 0.1, 200, 5

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

class Pipeline(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder = Decoder()

class DepthModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.depth_model = Pipeline()

    def inference(self, data):
        photo = data["input"]
        assert photo.shape == (1, 3, 616, 1064)
        decoder = self.depth_model.decoder
        assert torch.allclose(decoder.depth_expectation_anchor[0, 2], torch.tensor((0.1 * 200) ** 0.5))
        # Canonical metres: the weight, 100 where the input is filled up, below 0.5 in the photo's darkest part.
        depth = decoder.weight + 0 * photo[:, :1]
        depth = torch.where((photo == 0).all(1, keepdim=True), torch.tensor(100.0), depth)
        depth = torch.where(photo[:, :1] < -2, torch.tensor(0.01), depth)
        # Normals that face the camera, turned to the right (a direction of its own where the input is filled up), and a
        # fourth channel.
        normal = torch.tensor([0.6, 0.0, -0.8, 7.0])[None, :, None, None].expand(1, 4, 616, 1064)
        filled = (photo == 0).all(1, keepdim=True)
        normal = torch.where(filled, torch.tensor([0.0, 1.0, 0.0, 0.0])[None, :, None, None], normal)
        return depth, torch.ones_like(depth), {"prediction_normal": normal}
"""
#: depth-anything-3 0.1.1: depth_anything_3/api.py (DepthAnything3.inference), specs.py (Prediction)
DEPTH_ANYTHING_3 = """
from dataclasses import dataclass
import numpy as np
import torch

@dataclass
class Prediction:
    depth: np.ndarray
    is_metric: int
    sky: np.ndarray | None = None
    conf: np.ndarray | None = None
    extrinsics: np.ndarray | None = None
    intrinsics: np.ndarray | None = None

class DepthAnything3(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)

    @classmethod
    def from_pretrained(cls, folder):
        assert isinstance(folder, str)
        return cls()

    def inference(self, image, extrinsics=None, intrinsics=None, align_to_input_ext_scale=True, infer_gs=False,
                  use_ray_pose=False, ref_view_strategy="saddle_balanced", render_exts=None, render_ixts=None,
                  render_hw=None, process_res=504, process_res_method="upper_bound_resize", export_dir=None, **options):
        assert isinstance(image, list) and all(each.dtype == np.uint8 and each.shape[2] == 3 for each in image)
        rows, columns = (round(side * process_res / max(image[0].shape[:2]) / 14) * 14 for side in image[0].shape[:2])
        count = len(image)
        disparity = np.broadcast_to(np.linspace(1, 0.5, columns), (count, rows, columns))
        sky = np.zeros((count, rows, columns), bool)
        sky[:, : rows // 2] = True
        pose = np.concatenate([np.eye(3), np.full((3, 1), 2.0)], axis=1)[None].repeat(count, 0)
        camera = np.array([[400.0, 0, columns / 2], [0, 400.0, rows / 2], [0, 0, 1]])[None].repeat(count, 0)
        pose, camera = pose.astype(np.float32), camera.astype(np.float32)
        return Prediction((1 / disparity).astype(np.float32), 0, sky, None, pose, camera)
"""
FILES = {
    "depth_anything_3/__init__.py": "",
    "depth_anything_3/api.py": DEPTH_ANYTHING_3,
    "dust3r/model.py": DUST3R_MODEL,
    "dust3r/inference.py": DUST3R_INFERENCE,
    "dust3r/post_process.py": DUST3R_POST_PROCESS,
    "mast3r/model.py": MAST3R_MODEL,
    "vggt/models/vggt.py": VGGT_MODEL,
    "vggt/utils/pose_enc.py": VGGT_POSES,
    "unidepth/models.py": UNIDEPTH_MODELS,
    "unik3d/models/__init__.py": UNIK3D_MODELS,
    "unik3d/utils/camera.py": UNIK3D_CAMERA,
    "xformers/components/attention.py": "NystromAttention = None\n",
    "hubconf.py": METRIC3D_HUB,
    "mono/network.py": METRIC3D_NETWORK,
    "mmcv/utils.py": "Config = None\n",
}
