"""What is shown of one scene as nodes of viser's scene tree: Gaussians or point clouds, and the cameras."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from bench.core.scenes import Array, Camera, MultiViewScene
from bench.splat import SH_0, Gaussians, matrix_to_quaternion, rotation_matrix

if TYPE_CHECKING:
    import viser

TRAINING, HELD_OUT = (70, 130, 220), (235, 140, 40)  #: colours of frusta
FOLDERS = ("/training views", "/held-out views")  #: of frusta in the scene tree
BACK, FRUSTUM = 0.5, 0.04  #: steps back from the first camera, and length of a frustum, in its distance to the scene
_DISTANCE_BETWEEN = 1.4  #: side of a point, in distances between neighbours at the median depth


class Model(Protocol):
    """What is shown in a pane: Shown or Cloud."""

    @property
    def name(self) -> str: ...

    @property
    def pictures(self) -> Mapping[str, Array]:
        """(H, W, 3) uint8 by name, "<kind>.<view>", as its cell gives them."""

    @property
    def scores(self) -> Mapping[str, str]:
        """What is said of it at a view, by the view's name."""

    @property
    def label(self) -> str:
        """The name, and how much of it is shown."""

    @property
    def places(self) -> Array:
        """(N, 3) where it is, in the world of the cameras."""

    def add_to(self, server: viser.ViserServer, node: str, *, shown: bool) -> None:
        """Add it to the scene tree."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Gaussians to show; the rest as Model has it.

    Attributes:
        name: Its model, mode and marks.
        gaussians: In the world of the scene's cameras.
        whole: How many it has, shown or not.
    """

    name: str
    gaussians: Gaussians
    whole: int
    pictures: Mapping[str, Array] = field(default_factory=dict)
    scores: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.name}: {_of(len(self.gaussians), self.whole)} Gaussians"

    @property
    def places(self) -> Array:
        return self.gaussians.means.double().numpy()

    def add_to(self, server: viser.ViserServer, node: str, *, shown: bool) -> None:
        axes = rotation_matrix(self.gaussians.quaternions) * self.gaussians.scales[:, None, :]
        server.scene.add_gaussian_splats(
            node,
            centers=self.gaussians.means.numpy(),
            covariances=(axes @ axes.transpose(1, 2)).numpy(),
            rgbs=np.clip(self.gaussians.spherical_harmonics[:, 0].numpy() * SH_0 + 0.5, 0, 1),
            opacities=self.gaussians.opacities[:, None].numpy(),
            visible=shown,
        )


@dataclass(frozen=True, eq=False)
class Cloud:
    """A point cloud to show; the rest as Model has it.

    Attributes:
        name: Its model and marks, or that it is the truth.
        places: (N, 3) in the world of the scene's cameras.
        colours: (N, 3) uint8.
        whole: How many points there are, shown or not.
        angle: Between neighbours, in radians as the camera sees them.
    """

    name: str
    places: Array
    colours: Array
    whole: int
    angle: float
    pictures: Mapping[str, Array] = field(default_factory=dict)
    scores: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.name}: {_of(len(self.places), self.whole)} points"

    def add_to(self, server: viser.ViserServer, node: str, *, shown: bool) -> None:
        distance = float(np.median(np.linalg.norm(self.places, axis=1))) if len(self.places) else 1.0
        server.scene.add_point_cloud(
            node,
            points=self.places.astype(np.float32),
            colors=self.colours,
            point_size=_DISTANCE_BETWEEN * self.angle * distance,
            point_shading="flat",
            precision="float32",
            visible=shown,
        )


def open_server(port: int | None) -> viser.ViserServer:
    """A server on this machine alone; None: on a port that is free now."""
    import viser

    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    return viser.ViserServer(host="127.0.0.1", port=port, verbose=False)


def draw(
    server: viser.ViserServer,
    models: Sequence[Model],
    scene: MultiViewScene,
    photos: bool = True,
    folders: Sequence[str] = FOLDERS,
    background: int = 0,
) -> None:
    """Models and frusta as nodes of viser's scene tree, seen from behind the first camera; one model is shown at first.

    Args:
        server: Its scene is empty.
        models: The first one says how far away things are.
        scene: The views.
        photos: Whether frusta show their photos.
        folders: Of the frusta of training and of held-out views.
        background: A grey, 0 to 255; Gaussians are trained on black.
    """
    first = cameras_of(scene)[0]
    depth = middle_depth(models[0].places, first)
    server.scene.set_background_image(np.full((2, 2, 3), background, np.uint8))
    server.scene.configure_environment_map(None)
    up, ahead = -first.camera_to_world[:3, 1], first.camera_to_world[:3, 2]
    server.scene.set_up_direction(up)
    server.initial_camera.position = first.centre - ahead * depth * BACK
    server.initial_camera.look_at = first.centre + ahead * depth
    server.initial_camera.up = up
    server.initial_camera.fov = fov_y(first)
    for number, model in enumerate(models):
        model.add_to(server, f"/models/{_node(model.label)}", shown=number == 0)
    for folder, views, colour in zip(folders, (scene.train, scene.test), (TRAINING, HELD_OUT), strict=True):
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


def middle_depth(places: Array, camera: Camera) -> float:
    """The median depth of the places (N, 3) in front of the camera: what an orbit turns about."""
    _, depths = camera.project(places)
    return float(np.median(depths[depths > 0])) if (depths > 0).any() else 1.0


def _of(count: int, whole: int) -> str:
    return f"{whole}" if count == whole else f"{count} of {whole}"


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
