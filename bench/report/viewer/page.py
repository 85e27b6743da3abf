"""Gaussians and cameras of one scene as viser draws them: on a server, or as one HTML document that works offline."""

from __future__ import annotations

import contextlib
import html
import io
import math
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.core.scenes import Camera, MultiViewScene
from bench.metrics.image import psnr
from bench.splat import SH_0, Gaussians, matrix_to_quaternion, most_visible, rotation_matrix, seen_by

if TYPE_CHECKING:
    import viser

MOST_SPLATS = 100_000  #: of a model in a saved page: 3.4 MB of it, beside 0.8 MB of viewer
TRAINING, HELD_OUT = (70, 130, 220), (235, 140, 40)  #: colours of frusta
BACK, FRUSTUM = 0.5, 0.04  #: steps back from the first camera, and length of a frustum, in its distance to the scene
#: Chromium starts no module worker from a blob: address in a page of file://, so that viser's client would never sort the
#: splats. Where it gets no such address, it falls back to a data: address, which works.
_WORKERS = """<script>if (location.protocol === "file:") {
  const own = URL.createObjectURL;
  URL.createObjectURL = (blob) => (blob.type || "").startsWith("text/javascript") ? "" : own.call(URL, blob);
}</script>"""
_CAPTION = (
    "position:fixed;left:0;bottom:0;margin:0;padding:.4em .7em;max-width:min(46em,100%);box-sizing:border-box;"
    "font:13px/1.4 system-ui,sans-serif;color:#eee;background:rgba(0,0,0,.72)"
)


@dataclass(frozen=True, eq=False)
class Shown:
    """A model to show.

    Attributes:
        name: Its model, mode and marks.
        gaussians: In the world of the scene's cameras.
        whole: How many it has, shown or not.
    """

    name: str
    gaussians: Gaussians
    whole: int

    @property
    def label(self) -> str:
        """The name, and how many of its Gaussians are shown."""
        count = f"{self.whole}" if len(self.gaussians) == self.whole else f"{len(self.gaussians)} of {self.whole}"
        return f"{self.name}: {count} Gaussians"


def page(models: Sequence[Shown], scene: MultiViewScene, budget: int, conditions: str) -> str:
    """One HTML document that shows models and cameras offline and asks for nothing: viser's own client with the scene in it.

    Args:
        models: The first is shown at once, the others by a switch in the scene tree.
        scene: The views, in the world of the models.
        budget: How many Gaussians of a model are kept at most, the most visible ones in the views.
        conditions: What the caption says before it says, for each model, how many are kept and what that costs: the PSNR of
            what the cameras see of the kept ones, in colours without view dependence, against what they see of the model.
    """
    cameras = _cameras(scene)
    kept = [replace(model, gaussians=most_visible(_plain(model.gaussians), cameras, budget)) for model in models]
    losses = [_loss(model.gaussians, less.gaussians, cameras) for model, less in zip(models, kept, strict=True)]
    with contextlib.redirect_stdout(io.StringIO()):  # viser says where it listens, which is over in a moment
        server = open_server(None)
        try:
            draw(server, kept, scene)
            document = server.scene.as_html(dark_mode=True)
        finally:
            server.stop()
    lines = [f"{less.label}, {loss}" for less, loss in zip(kept, losses, strict=True)]
    lines.append(
        f"PSNR: what is kept here, in colours without view dependence, against all, over these {len(cameras)} views."
    )
    frusta = f"Frusta: {len(scene.train)} training views blue, {len(scene.test)} held-out views orange."
    text = "<br>".join(
        map(html.escape, (conditions, *lines, f"{frusta} The tree at the top right switches models and views."))
    )
    title = f"<title>{html.escape(conditions)}</title>"
    head, end = document.index("<title>"), document.index("</title>") + len("</title>")
    document = document[:head] + title + _WORKERS + document[end:]
    close = document.rindex("</body>")
    return f'{document[:close]}<p id="caption" style="{_CAPTION}">{text}</p>{document[close:]}'


def open_server(port: int | None) -> viser.ViserServer:
    """A server on this machine alone; None: on a port that is free now."""
    import viser

    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    return viser.ViserServer(host="127.0.0.1", port=port, verbose=False)


def draw(server: viser.ViserServer, models: Sequence[Shown], scene: MultiViewScene) -> None:
    """Models and frusta as nodes of viser's scene tree, seen from behind the first camera; one model is shown at first."""
    first = _cameras(scene)[0]
    depth = _middle_depth(models[0].gaussians, first)
    server.scene.set_background_image(np.zeros((2, 2, 3), np.uint8))  # black, as they were trained
    server.scene.configure_environment_map(None)
    up, ahead = -first.camera_to_world[:3, 1], first.camera_to_world[:3, 2]
    server.scene.set_up_direction(up)
    server.initial_camera.position = first.centre - ahead * depth * BACK
    server.initial_camera.look_at = first.centre + ahead * depth
    server.initial_camera.up = up
    server.initial_camera.fov = _fov_y(first)
    for number, model in enumerate(models):
        _add_model(server, f"/models/{_node(model.label)}", model.gaussians, shown=number == 0)
    for folder, views, colour in (("training views", scene.train, TRAINING), ("held-out views", scene.test, HELD_OUT)):
        for each in views:
            if each.camera is not None:
                _add_frustum(server, f"/{folder}/{_node(each.name)}", each.camera, each.image, colour, depth * FRUSTUM)


def _add_model(server: viser.ViserServer, name: str, gaussians: Gaussians, *, shown: bool) -> None:
    axes = rotation_matrix(gaussians.quaternions) * gaussians.scales[:, None, :]
    server.scene.add_gaussian_splats(
        name,
        centers=gaussians.means.numpy(),
        covariances=(axes @ axes.transpose(1, 2)).numpy(),
        rgbs=np.clip(gaussians.spherical_harmonics[:, 0].numpy() * SH_0 + 0.5, 0, 1),
        opacities=gaussians.opacities[:, None].numpy(),
        visible=shown,
    )


def _add_frustum(
    server: viser.ViserServer, name: str, camera: Camera, photo: np.ndarray, colour: tuple[int, int, int], size: float
) -> None:
    pose = camera.camera_to_world
    server.scene.add_camera_frustum(
        name,
        fov=_fov_y(camera),
        aspect=camera.width / camera.height,
        scale=size,
        thickness=size / 40,
        color=colour,
        image=photo,
        wxyz=matrix_to_quaternion(torch.from_numpy(pose[:3, :3])).numpy(),
        position=pose[:3, 3],
    )


def _cameras(scene: MultiViewScene) -> list[Camera]:
    return [each.camera for each in scene.views if each.camera is not None]


def _plain(gaussians: Gaussians) -> Gaussians:
    """The same in colours without view dependence, which is what the page draws."""
    return replace(gaussians, spherical_harmonics=gaussians.spherical_harmonics[:, :1])


def _loss(whole: Gaussians, less: Gaussians, cameras: Sequence[Camera]) -> str:
    """What the caption says of the difference: PSNR over all cameras' pictures."""
    with torch.inference_mode():
        pictures = [torch.stack([seen_by(each, camera).rgb.clamp(0, 1) for camera in cameras]) for each in (whole, less)]
    found = psnr(pictures[1], pictures[0])
    return "no loss" if math.isinf(found) else f"{found:.1f} dB PSNR"


def _node(name: str) -> str:
    """A name of one node: a slash would make a branch of the tree."""
    return name.replace("/", "∕")


def _fov_y(camera: Camera) -> float:
    """Vertical field of view in radians, about the middle of the picture."""
    return 2 * math.atan(camera.height / (2 * camera.intrinsics[1, 1]))


def _middle_depth(gaussians: Gaussians, camera: Camera) -> float:
    """The median depth of the Gaussians in front of the camera: what the viewer's orbit turns about."""
    _, depths = camera.project(gaussians.means.double().numpy())
    return float(np.median(depths[depths > 0])) if (depths > 0).any() else 1.0
