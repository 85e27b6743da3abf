"""Stand-ins for packages that see all photos of a scene at once; each follows the signatures of its package's sources.

They recognise photos of `plane_scene` by their colours and answer from the truth, in a unit and a world of their own. What
they check and how they answer was read in these files, at these commits:

pi3: github.com/yyfz/Pi3 at 9fa3ddb, pi3/models/pi3.py, pi3/models/pi3x.py, example_mm.py
vggt_omega: github.com/facebookresearch/vggt-omega at 39a0cb8, vggt_omega/models/vggt_omega.py, utils/pose_enc.py
vggt: github.com/facebookresearch/vggt, vggt/models/vggt.py, vggt/utils/pose_enc.py
mapanything: github.com/facebookresearch/map-anything at f7ebafb, mapanything/models/mapanything/model.py (infer),
    mapanything/utils/inference.py, mapanything/utils/geometry.py
must3r: github.com/naver/must3r at 0c0d76b, must3r/model/__init__.py, must3r/engine/inference.py, must3r/demo/inference.py
fast3r: github.com/facebookresearch/fast3r at 33104d4, fast3r/dust3r/inference_multiview.py,
    fast3r/models/multiview_dust3r_module.py
cut3r, whose package is dust3r: github.com/CUT3R/CUT3R at 8bc15dc, src/dust3r/model.py, inference.py, post_process.py,
    utils/camera.py, src/croco/models/croco.py (CrocoConfig)
"""

from __future__ import annotations

#: What all of them know: answers for photos in [0, 1] of any size, with the first pixel's centre at `origin`.
TRUTH = """
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import torch

FILE = Path(__file__).parent / "truth.npz"

def seen(photos, scale, origin=0.5):
    truth = dict(np.load(FILE))
    views = [round(float(photo.mean() * 255)) // 10 for photo in photos]
    height, width = photos.shape[-2:]
    stretch = np.diag([width / truth["size"][1], height / truth["size"][0], 1])
    matrix = stretch @ truth["intrinsics"]
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    rays = np.concatenate([(pixels - matrix[:2, 2]) / matrix[[0, 1], [0, 1]], np.ones((height, width, 1))], axis=-1)
    depths, poses = [], []
    for view in views:
        pose = truth["poses"][view]
        centre = -pose[:3, :3].T @ pose[:3, 3]
        depths.append(scale * (float(truth["offset"]) - truth["normal"] @ centre) / (rays @ pose[:3, :3] @ truth["normal"]))
        relative = truth["poses"][views[0]] @ np.linalg.inv(pose)  # camera to the first camera's world
        relative[:3, 3] *= scale
        poses.append(relative)
    matrix[:2, 2] += origin - 0.5
    tensor = lambda values: torch.tensor(np.stack(values), dtype=torch.float32)
    depth = tensor(depths)
    right = torch.from_numpy(rays[..., 0] > 0).expand(len(views), -1, -1)
    return SimpleNamespace(depth=depth, points=depth[..., None] * torch.from_numpy(rays).float(), poses=tensor(poses),
                           intrinsics=tensor([matrix] * len(views)), right=right)

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))


"""

#: Points and poses of no view's own world; confidence as a logit; Pi3X in metres, once its other branches are off.
PI3 = """
import torch
from plane_truth import Network, seen

class Pi3(Network):
    scale, unit = 0.3, 1.0

    def forward(self, imgs):
        assert imgs.ndim == 5 and len(imgs) == 1 and imgs.min() >= 0 and imgs.max() <= 1
        height, width = imgs.shape[-2:]
        assert height % 14 == 0 and width % 14 == 0 and 200_000 < height * width <= 255_000
        found = seen(imgs[0], self.scale)
        world = torch.linalg.qr(torch.tensor([[1.0, 2, 3], [0, 1, 4], [5, 6, 0]]))[0]
        world = world * torch.sign(torch.det(world))
        poses = found.poses.clone()
        poses[:, :3, 3] = poses[:, :3, 3] @ world.T + torch.tensor([1.0, 2, 3])
        poses[:, :3, :3] = world @ poses[:, :3, :3]
        conf = torch.where(found.right, 0.0, -3.0)[..., None]  # sigmoid: 0.5 and 0.05
        return dict(points=None, local_points=found.points[None], conf=conf[None], camera_poses=poses[None])
"""
PI3X = """
from pi3.models.pi3 import Pi3

class Pi3X(Pi3):
    scale = 1.0

    def disable_multimodal(self, free_cuda_cache=True):
        self.use_multimodal = False

    def forward(self, imgs, depths=None, intrinsics=None, rays=None, poses=None, with_prior=True,
                mask_add_depth=None, mask_add_ray=None, mask_add_pose=None):
        assert not self.use_multimodal
        return super().forward(imgs) | dict(rays=None, metric=None)
"""

_CODES = """
import torch
from scipy.spatial.transform import Rotation

def encoded(found, size):
    # translation, quaternion (x, y, z, w), vertical and horizontal field of view
    poses = torch.linalg.inv(found.poses.double())
    quaternions = torch.from_numpy(Rotation.from_matrix(poses[:, :3, :3].numpy()).as_quat())
    sides = torch.tensor(size) / 2
    fov = [2 * torch.atan(sides[axis] / found.intrinsics[:, 1 - axis, 1 - axis]) for axis in (0, 1)]
    return torch.cat([poses[:, :3, 3], quaternions, torch.stack(fov, -1)], -1)[None].float()

def decoded(pose_encoding, image_size_hw):
    height, width = image_size_hw
    rotation = torch.from_numpy(Rotation.from_quat(pose_encoding[0, :, 3:7].numpy()).as_matrix()).float()
    extrinsics = torch.cat([rotation[None], pose_encoding[:, :, :3, None]], dim=-1)
    intrinsics = torch.zeros(1, pose_encoding.shape[1], 3, 3)
    intrinsics[..., 0, 0] = width / 2 / torch.tan(pose_encoding[..., 8] / 2)
    intrinsics[..., 1, 1] = height / 2 / torch.tan(pose_encoding[..., 7] / 2)
    intrinsics[..., 0, 2], intrinsics[..., 1, 2], intrinsics[..., 2, 2] = width / 2, height / 2, 1
    return extrinsics, intrinsics
"""
VGGT = """
import torch
from plane_codes import encoded
from plane_truth import Network, seen

class VGGT(Network):
    @classmethod
    def from_pretrained(cls, folder, strict=False):
        assert strict and isinstance(folder, str)
        return cls()

    def forward(self, images, query_points=None):
        _, count, _, height, width = images.shape
        assert height % 14 == 0 and width % 14 == 0 and max(height, width) == 518
        assert images.min() >= 0 and images.max() <= 1
        found = seen(images[0], 0.3 * count)
        return {"pose_enc": encoded(found, (height, width)), "depth": found.depth[None, ..., None],
                "depth_conf": torch.where(found.right, 9.0, 1.5)[None]}
"""
VGGT_POSES = """
from plane_codes import decoded

def pose_encoding_to_extri_intri(pose_encoding, image_size_hw=None, pose_encoding_type="absT_quaR_FoV"):
    return decoded(pose_encoding, image_size_hw)
"""
#: Its own forward runs on a GPU only, so it is not to be called; the least confident fifth is on the left.
VGGT_OMEGA = """
import torch
from plane_codes import encoded
from plane_truth import Network, seen

class VGGTOmega(Network):
    def __init__(self, patch_size=16, embed_dim=1024, enable_camera=True, enable_depth=True, enable_alignment=False):
        super().__init__()

    def forward(self, images):
        raise AssertionError("torch.cuda.is_bf16_supported() is asked first")

    def aggregator(self, images):
        _, count, channels, height, width = images.shape
        assert channels == 3 and height % 16 == 0 and width % 16 == 0 and abs(height * width / 512**2 - 1) < 0.1
        assert images.min() >= 0 and images.max() <= 1
        self.found, self.images, self.size = seen(images[0], 0.3 * count), images, (height, width)
        return ["tokens"], 17

    def camera_head(self, aggregated_tokens_list, patch_token_start):
        assert aggregated_tokens_list == ["tokens"] and patch_token_start == 17
        return encoded(self.found, self.size)

    def dense_head(self, aggregated_tokens_list, images, patch_token_start):
        assert aggregated_tokens_list == ["tokens"] and patch_token_start == 17 and images is self.images
        confidence = 1 + torch.arange(self.size[1]).expand(1, images.shape[1], *self.size)
        return self.found.depth[None, ..., None], confidence.float()
"""
VGGT_OMEGA_POSES = """
from plane_codes import decoded

def encoding_to_camera(pose_encoding, image_size_hw, build_intrinsics=True):
    return decoded(pose_encoding, image_size_hw)
"""
#: In metres; the first pixel's centre is (0, 0); unambiguous on the right.
MAPANYTHING = """
import torch
from plane_truth import Network, seen

class Shared:
    def __init__(self, features):
        self.features, self.additional_token_features = features, None

class InfoSharing(torch.nn.Module):
    # per view (1, 1536, rows, columns), after the last layer; then the same after others
    def forward(self, photos):
        tokens = torch.nn.functional.avg_pool2d(photos, 14).repeat(1, 512, 1, 1)
        return Shared(list(tokens.split(1))), [Shared([torch.zeros(1)]), Shared([torch.zeros(1)])]

class MapAnything(Network):
    def __init__(self):
        super().__init__()
        self.info_sharing = InfoSharing()

    @classmethod
    def from_pretrained(cls, folder):
        assert isinstance(folder, str)
        return cls()

    def infer(self, views, memory_efficient_inference=True, minibatch_size=None, use_amp=True, amp_dtype="bf16",
              apply_mask=True, mask_edges=True, edge_normal_threshold=5.0, edge_depth_threshold=0.03,
              apply_confidence_mask=False, confidence_percentile=10, **ignored):
        assert not use_amp and not apply_mask and not ignored
        assert all(set(view) == {"img", "data_norm_type"} and view["data_norm_type"] == ["dinov2"] for view in views)
        images = torch.cat([view["img"] for view in views])
        mean, deviation = (torch.tensor(values)[:, None, None] for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        photos = images * deviation + mean
        assert photos.min() > -1e-5 and photos.max() < 1 + 1e-5
        height, width = photos.shape[-2:]
        assert height % 14 == 0 and width % 14 == 0
        self.info_sharing(photos)
        if max(height, width) != 518:
            return []  # the provider's photos are of another size, and it reads no answer
        found = seen(photos, 1.0, origin=0.0)
        return [{"pts3d_cam": points[None], "camera_poses": pose[None], "intrinsics": matrix[None],
                 "non_ambiguous_mask": right[None], "conf": torch.ones_like(depth)[None], "depth_z": depth[None, ..., None]}
                for points, pose, matrix, right, depth in
                zip(found.points, found.poses, found.intrinsics, found.right, found.depth)]
"""
#: Each view twice; the last answers come from a memory of all views, the first ones do not.
MUST3R_MODEL = """
import torch
from plane_truth import Network

class Dust3rEncoder(Network):
    patch_size = 16

    def __init__(self, img_size=(224, 224), patch_embed="PatchEmbedDust3R"):
        super().__init__()

class MUSt3R(Network):
    pointmaps_activation = "norm_exp"

    def __init__(self, img_size=(224, 224), feedback_type=None, memory_mode="norm_y", landscape_only=True):
        super().__init__()
        assert not landscape_only

def get_pointmaps_activation(decoder, verbose=True):
    assert not verbose
    return decoder.pointmaps_activation

def load_model(chkpt_path, encoder=None, decoder=None, device="cuda", img_size=None, memory_mode=None, verbose=True):
    assert isinstance(chkpt_path, str) and not verbose
    content = torch.load(chkpt_path, map_location="cpu", weights_only=False)
    encoder = eval(content["args"].encoder)
    text = content["args"].decoder.replace(" ", "").replace("CausalMUSt3R", "MUSt3R")
    decoder = eval(text[:-1] + ",landscape_only=False)")
    encoder.load_state_dict(content["encoder"], strict=True)
    decoder.load_state_dict(content["decoder"], strict=True)
    return encoder.to(device).eval(), decoder.to(device).eval()
"""
MUST3R_ENGINE = """
import torch
from plane_truth import seen

def postprocess(pointmaps, pointmaps_activation="linear", compute_cam=False):
    assert pointmaps_activation == "norm_exp" and compute_cam
    return pointmaps

def inference_multi_ar(encoder, decoder, imgs, img_ids, true_shape, mem_batches, verbose=False, max_bs=None, to_render=None,
                       encoder_precomputed_features=None, precomputed_mem=None, preserve_gpu_mem=False,
                       post_process_function=lambda x: {"pts3d": x}, device=None, return_mem=False, viser_server=None,
                       num_refinements_iterations=0):
    shapes = torch.stack(true_shape, dim=0)
    images = torch.stack(imgs)
    assert [int(number) for number in img_ids] == list(range(len(imgs))) and sum(mem_batches) == len(imgs)
    assert min(mem_batches) > 0 and mem_batches[0] == min(2, len(imgs)) and images.min() >= -1 and images.max() <= 1
    assert shapes.tolist() == [list(images.shape[-2:])] * len(imgs) and max(images.shape[-2:]) == 512
    found = seen((images + 1) / 2, 0.5, origin=0.0)
    world = torch.einsum("nij,nhwj->nhwi", found.poses[:, :3, :3], found.points) + found.poses[:, None, None, :3, 3]
    conf = torch.where(found.right, 4.0, 2.0)
    answers = [post_process_function({"pts3d": world[i], "pts3d_local": found.points[i], "conf": conf[i],
                                      "focal": found.intrinsics[i, 0, 0], "c2w": found.poses[i]}) for i in range(len(imgs))]
    assert torch.allclose(found.intrinsics[0, :2, 2], torch.tensor([images.shape[-1] / 2, images.shape[-2] / 2]))
    return "not from the whole memory", answers
"""
#: All points in the first camera's world; an index is drawn for every other view; poses by the package.
FAST3R = """
import torch
from plane_truth import Network

class Fast3R(Network):
    @classmethod
    def from_pretrained(cls, folder):
        assert isinstance(folder, str)
        return cls()
"""
FAST3R_INFERENCE = """
import torch
from plane_truth import seen

drawn = []

@torch.no_grad()
def inference(multiple_views_in_one_sample, model, device, dtype, verbose=True, profiling=False):
    views = multiple_views_in_one_sample
    assert dtype == "32" and not verbose  # torch.float32 would leave autocast at its half precision
    images = torch.cat([view["img"] for view in views])
    height, width = images.shape[-2:]
    assert all(view["true_shape"].tolist() == [[height, width]] for view in views) and max(height, width) == 512
    drawn.append(torch.randint(0, 2**32, (1,)).item())
    found = seen((images + 1) / 2, 0.5, origin=0.0)
    world = torch.einsum("nij,nhwj->nhwi", found.poses[:, :3, :3], found.points) + found.poses[:, None, None, :3, 3]
    preds = [{"pts3d_in_other_view": points[None], "conf": torch.where(right, 2.0, 1.0)[None], "pts3d_local": None,
              "answer": (pose, matrix)}
             for points, right, pose, matrix in zip(world, found.right, found.poses, found.intrinsics)]
    return {"views": views, "preds": preds, "loss": None}
"""
FAST3R_POSES = """
import numpy as np

class MultiViewDUSt3RLitModule:
    lost = set()

    @staticmethod
    def estimate_camera_poses(preds, views=None, niter_PnP=10, focal_length_estimation_method="individual"):
        assert niter_PnP == 100 and focal_length_estimation_method == "first_view_from_global_head"
        poses = [pred["answer"][0].double().numpy() for pred in preds]
        poses[0] = poses[0] + 1e-3  # RANSAC finds the first camera nearly where it is by definition
        focal = float(preds[0]["answer"][1][0, 0])
        poses = [np.eye(4) if i in MultiViewDUSt3RLitModule.lost else pose for i, pose in enumerate(poses)]
        return [poses], [[focal] * len(preds)]
"""

#: Each view's points in its own camera and the code of its pose in a world; the first pixel's centre is (0, 0).
CUT3R_MODEL = """
import math
import torch
from plane_truth import Network, seen

class ARCroco3DStereoConfig:
    def __init__(self, output_mode="pts3d", head_type="linear", depth_mode=("exp", -math.inf, math.inf),
                 conf_mode=("exp", 1, math.inf), pose_mode=("exp", -math.inf, math.inf), freeze="none", landscape_only=True,
                 patch_embed_cls="PatchEmbedDust3R", ray_enc_depth=2, state_size=324, local_mem_size=256, state_pe="2d",
                 state_dec_num_heads=16, depth_head=False, rgb_head=False, pose_conf_head=False, pose_head=False,
                 **croco_kwargs):
        assert output_mode == "pts3d+pose" and head_type == "dpt" and pose_head and not landscape_only
        assert patch_embed_cls in ("PatchEmbedDust3R", "ManyAR_PatchEmbed")
        assert set(croco_kwargs) <= {"img_size", "patch_size", "mask_ratio", "enc_embed_dim", "enc_depth", "enc_num_heads",
                                     "dec_embed_dim", "dec_depth", "dec_num_heads", "mlp_ratio", "norm_layer",
                                     "norm_im2_in_dec", "pos_embed"}
        self.dec_embed_dim = croco_kwargs["dec_embed_dim"]

class Answer:
    def __init__(self, ress, views):
        self.ress, self.views = ress, views

class cuRoPE2D(torch.nn.Module):
    pass

class RoPE2D(torch.nn.Module):
    pass

class ARCroco3DStereo(Network):
    rope_class = cuRoPE2D  # src/croco/models/pos_embed.py: RoPE2D where the kernels are not compiled

    def __init__(self, config):
        super().__init__()
        self.rope = self.rope_class()
        self.width = config.dec_embed_dim
        self.dec_norm = torch.nn.Identity()

    def forward(self, views, ret_state=False):
        images = torch.cat([view["img"] for view in views])
        height, width = images.shape[-2:]
        assert height % 16 == 0 and width % 16 == 0 and images.min() >= -1 - 1e-6 and images.max() <= 1 + 1e-6
        for number, view in enumerate(views):
            assert view["true_shape"].tolist() == [[height, width]] and view["ray_map"].shape == (1, 6, height, width)
            assert view["ray_map"].isnan().all() and view["camera_pose"].shape == (1, 4, 4)
            marks = [view[key].tolist() for key in ("img_mask", "ray_mask", "update", "reset")]
            assert marks == [[True], [False], [True], [False]] and view["idx"] == number
            tokens = torch.nn.functional.avg_pool2d(view["img"], 16).flatten(2).transpose(1, 2)
            pose = torch.full((1, 1, 3), 9.0)
            self.dec_norm(torch.cat([pose, tokens], dim=1).repeat(1, 1, self.width // 3))
        found = seen((images + 1) / 2, 1.0, origin=0.0) if max(height, width) == 512 else None
        answer = Answer([] if found is None else [
            {"pts3d_in_self_view": points[None], "conf_self": torch.where(right, 2.0, 1.0)[None], "camera_pose": code(pose)}
            for points, right, pose in zip(found.points, found.right, found.poses)], views)
        return (answer, "states") if ret_state else answer

def code(pose):
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(pose[:3, :3].double().numpy()).as_quat()
    return torch.tensor([[*pose[:3, 3], w, x, y, z]], dtype=torch.float32)
"""
CUT3R_INFERENCE = """
import torch

@torch.no_grad()
def inference(groups, model, device, verbose=True):
    assert not verbose
    for view in groups:
        for name in set(view) - {"instance", "idx", "true_shape"}:
            view[name] = view[name].to(device, non_blocking=True)
    output, states = model(groups, ret_state=True)
    return dict(views=output.views, pred=output.ress), states
"""
CUT3R_CAMERA = """
import torch

def pose_encoding_to_camera(pose_encoding, pose_encoding_type="absT_quaR"):
    from scipy.spatial.transform import Rotation

    poses = torch.eye(4).repeat(len(pose_encoding), 1, 1)
    poses[:, :3, :3] = torch.from_numpy(Rotation.from_quat(pose_encoding[:, [4, 5, 6, 3]].numpy()).as_matrix()).float()
    poses[:, :3, 3] = pose_encoding[:, :3]
    return poses
"""
CUT3R_FOCAL = """
import torch

def estimate_focal_knowing_depth(pts3d, pp, focal_mode="median", min_focal=0.0, max_focal=float("inf")):
    assert focal_mode == "weiszfeld" and pp.shape == (len(pts3d), 2)
    across = torch.arange(pts3d.shape[2]) - pp[:, :1]
    slopes = pts3d[:, 0, :, 0] / pts3d[:, 0, :, 2]
    return (across * slopes).sum(1) / (slopes * slopes).sum(1)
"""

FILES = {
    "plane_truth.py": TRUTH,
    "plane_codes.py": _CODES,
    "pi3/models/pi3.py": PI3,
    "pi3/models/pi3x.py": PI3X,
    "vggt/models/vggt.py": VGGT,
    "vggt/utils/pose_enc.py": VGGT_POSES,
    "vggt_omega/models/__init__.py": VGGT_OMEGA,
    "vggt_omega/utils/pose_enc.py": VGGT_OMEGA_POSES,
    "mapanything/models/__init__.py": MAPANYTHING,
    "must3r/model/__init__.py": MUST3R_MODEL,
    "must3r/engine/inference.py": MUST3R_ENGINE,
    "fast3r/models/fast3r.py": FAST3R,
    "fast3r/dust3r/inference_multiview.py": FAST3R_INFERENCE,
    "fast3r/models/multiview_dust3r_module.py": FAST3R_POSES,
    "dust3r/model.py": CUT3R_MODEL,
    "dust3r/inference.py": CUT3R_INFERENCE,
    "dust3r/post_process.py": CUT3R_FOCAL,
    "dust3r/utils/camera.py": CUT3R_CAMERA,
}
PACKAGES = {name.partition("/")[0].removesuffix(".py") for name in FILES}
