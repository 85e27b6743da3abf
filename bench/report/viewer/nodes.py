"""Gaussians and cameras of one scene as nodes of viser's scene tree."""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.core.scenes import Array, Camera, MultiViewScene
from bench.splat import SH_0, Gaussians, matrix_to_quaternion, rotation_matrix

if TYPE_CHECKING:
    import viser

TRAINING, HELD_OUT = (70, 130, 220), (235, 140, 40)  #: colours of frusta
FOLDERS = ("/training views", "/held-out views")  #: of frusta in the scene tree
BACK, FRUSTUM = 0.5, 0.04  #: steps back from the first camera, and length of a frustum, in its distance to the scene


@dataclass(frozen=True, eq=False)
class Shown:
    """A model to show.

    Attributes:
        name: Its model, mode and marks.
        gaussians: In the world of the scene's cameras.
        whole: How many it has, shown or not.
        pictures: (H, W, 3) uint8 by name, "<kind>.<view>", as its cell gives them.
        scores: What is said of it at a held-out view, by the view's name.
    """

    name: str
    gaussians: Gaussians
    whole: int
    pictures: dict[str, Array] = field(default_factory=dict)
    scores: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name, and how many of its Gaussians are shown."""
        count = f"{self.whole}" if len(self.gaussians) == self.whole else f"{len(self.gaussians)} of {self.whole}"
        return f"{self.name}: {count} Gaussians"


def open_server(port: int | None) -> viser.ViserServer:
    """A server on this machine alone; None: on a port that is free now."""
    import viser

    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    return viser.ViserServer(host="127.0.0.1", port=port, verbose=False)


def draw(server: viser.ViserServer, models: Sequence[Shown], scene: MultiViewScene, photos: bool = True) -> None:
    """Models and frusta as nodes of viser's scene tree, seen from behind the first camera; one model is shown at first.

    photos: Whether frusta show their photos.
    """
    first = cameras_of(scene)[0]
    depth = middle_depth(models[0].gaussians, first)
    server.scene.set_background_image(np.zeros((2, 2, 3), np.uint8))  # black, as they were trained
    server.scene.configure_environment_map(None)
    up, ahead = -first.camera_to_world[:3, 1], first.camera_to_world[:3, 2]
    server.scene.set_up_direction(up)
    server.initial_camera.position = first.centre - ahead * depth * BACK
    server.initial_camera.look_at = first.centre + ahead * depth
    server.initial_camera.up = up
    server.initial_camera.fov = fov_y(first)
    for number, model in enumerate(models):
        _add_model(server, f"/models/{_node(model.label)}", model.gaussians, shown=number == 0)
    for folder, views, colour in zip(FOLDERS, (scene.train, scene.test), (TRAINING, HELD_OUT), strict=True):
        server.scene.add_frame(folder, show_axes=False)
        for each in views:
            if each.camera is not None:
                photo = each.image if photos else None
                _add_frustum(server, f"{folder}/{_node(each.name)}", each.camera, photo, colour, depth * FRUSTUM)


def cameras_of(scene: MultiViewScene) -> list[Camera]:
    """The cameras of all views that have one, training views first."""
    return [each.camera for each in scene.views if each.camera is not None]


def fov_y(camera: Camera) -> float:
    """Vertical field of view in radians, about the middle of the picture."""
    return 2 * math.atan(camera.height / (2 * camera.intrinsics[1, 1]))


def middle_depth(gaussians: Gaussians, camera: Camera) -> float:
    """The median depth of the Gaussians in front of the camera: what an orbit turns about."""
    _, depths = camera.project(gaussians.means.double().numpy())
    return float(np.median(depths[depths > 0])) if (depths > 0).any() else 1.0


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
    server: viser.ViserServer,
    name: str,
    camera: Camera,
    photo: Array | None,
    colour: tuple[int, int, int],
    size: float,
) -> None:
    pose = camera.camera_to_world
    server.scene.add_camera_frustum(
        name,
        fov=fov_y(camera),
        aspect=camera.width / camera.height,
        scale=size,
        thickness=size / 40,
        color=colour,
        image=photo,
        wxyz=matrix_to_quaternion(torch.from_numpy(pose[:3, :3])).numpy(),
        position=pose[:3, 3],
    )


def _node(name: str) -> str:
    """A name of one node: a slash would make a branch of the tree."""
    return name.replace("/", "∕")
