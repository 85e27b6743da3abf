"""One HTML document that shows Gaussians of one scene beside each other, offline: panes of viser's client, cameras linked.

Each pane is viser's own client with one model in it; what links the panes, holds a view and lays its photo over them is
templates/viewer.js.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

import torch

from bench.core.scenes import Array, Camera, MultiViewScene, View
from bench.metrics.image import psnr
from bench.report.viewer.nodes import FOLDERS, Shown, cameras_of, draw, fov_y, middle_depth, open_server
from bench.splat import Gaussians, most_visible, seen_by

MOST_SPLATS = 100_000  #: of a model in a page: 3.4 MB of it, beside 0.8 MB of viewer
KINDS = ("photo", "render", "depth", "normal")  #: of pictures beside the panes
_DATA, _END = '<script>window.__VISER_EMBED_DATA__="', '"'  #: what viser writes around the scene of a document
#: Chromium starts no module worker from a blob: address in a page of file://, so that viser's client would never sort the
#: splats. Where it gets no such address, it falls back to a data: address, which works.
_WORKERS = """<script>if (parent.location.protocol === "file:") {
  const own = URL.createObjectURL;
  URL.createObjectURL = (blob) => (blob.type || "").startsWith("text/javascript") ? "" : own.call(URL, blob);
}</script>"""


def page(models: Sequence[Shown], scene: MultiViewScene, budget: int, conditions: str, marks: Sequence[str] = ()) -> str:
    """The document: a pane a model, the views to choose from, photo and pictures of the one that is chosen.

    Args:
        models: One to four.
        scene: The views, in the world of the models.
        budget: How many Gaussians of a model are kept at most, the most visible ones in the views.
        conditions: What the models share: the title. Each pane says how many Gaussians are kept and what that costs: the
            PSNR of what the cameras see of the kept ones, in colours without view dependence, against what they see of the
            model.
        marks: Of the conditions.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    cameras = cameras_of(scene)
    kept = [replace(model, gaussians=most_visible(_plain(model.gaussians), cameras, budget)) for model in models]
    losses = [_loss(model.gaussians, less.gaussians, cameras) for model, less in zip(models, kept, strict=True)]
    client, scenes = _documents(kept, scene)
    depth = middle_depth(models[0].gaussians, cameras[0])
    panes = [
        {
            "name": model.name,
            "label": f"{model.label} ({loss})",
            "scene": data,
            "scores": dict(model.scores),
            "pictures": {kind: _pictures(model.pictures, kind, scene.test) for kind in KINDS if kind != "photo"},
        }
        for model, loss, data in zip(kept, losses, scenes, strict=True)
    ]
    views = [_view(each, depth, held_out=False) for each in scene.train if each.camera is not None]
    views += [_view(each, depth, held_out=True) for each in scene.test if each.camera is not None]
    room = resources.files("bench.report.viewer").joinpath("templates")
    environment = Environment(
        loader=PackageLoader("bench.report.viewer"), autoescape=select_autoescape(["html", "j2"]), trim_blocks=True
    )
    return environment.get_template("viewer.html.j2").render(
        title=conditions,
        marks=marks,
        css=room.joinpath("viewer.css").read_text(encoding="utf-8"),
        script=room.joinpath("viewer.js").read_text(encoding="utf-8"),
        data=_json({"client": client, "panes": panes, "views": views, "kinds": KINDS, "frusta": FOLDERS}),
        count=len(cameras),
    )


def _documents(models: Sequence[Shown], scene: MultiViewScene) -> tuple[tuple[str, str], list[str]]:
    """What comes before and after the scene in a document of viser's client, and the scene of each model."""
    found = []
    for model in models:
        with contextlib.redirect_stdout(io.StringIO()):  # viser says where it listens, which is over in a moment
            server = open_server(None)
            try:
                draw(server, [model], scene, photos=False)
                document = server.scene.as_html(dark_mode=True)
            finally:
                server.stop()
        start = document.index(_DATA) + len(_DATA)
        end = document.index(_END, start)
        found.append((document[:start], document[start:end], document[end:]))
    head, _, tail = found[0]
    begin = head.index("<title>")
    return (head[:begin] + _WORKERS + head[begin:], tail), [data for _, data, _ in found]


def _view(view: View, depth: float, *, held_out: bool) -> dict[str, Any]:
    """A view as the page's script takes it: the camera in pixels of its photo, the photo, which may be chosen."""
    camera = view.camera
    assert camera is not None
    pose = camera.camera_to_world
    return {
        "name": view.name,
        "heldOut": held_out,
        "position": camera.centre.tolist(),
        "lookAt": (camera.centre + pose[:3, 2] * depth).tolist(),
        "up": (-pose[:3, 1]).tolist(),
        "fov": fov_y(camera),
        "size": [camera.width, camera.height],
        "focal": [camera.intrinsics[0, 0], camera.intrinsics[1, 1]],
        "middle": [camera.intrinsics[0, 2], camera.intrinsics[1, 2]],
        "photo": _data_uri(view.image),
    }


def _pictures(pictures: Mapping[str, Array], kind: str, views: Sequence[View]) -> dict[str, str]:
    """The pictures of one kind, by view."""
    names = {view.name: f"{kind}.{view.name}" for view in views}
    return {view: _data_uri(pictures[name]) for view, name in names.items() if name in pictures}


def _data_uri(picture: Array) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _json(data: Any) -> Any:
    """JSON that may stand in a script element, whatever its texts hold."""
    from markupsafe import Markup

    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _plain(gaussians: Gaussians) -> Gaussians:
    """The same in colours without view dependence, which is what the page draws."""
    return replace(gaussians, spherical_harmonics=gaussians.spherical_harmonics[:, :1])


def _loss(whole: Gaussians, less: Gaussians, cameras: Sequence[Camera]) -> str:
    """What is said of the difference: PSNR over all cameras' pictures."""
    with torch.inference_mode():
        pictures = [torch.stack([seen_by(each, camera).rgb.clamp(0, 1) for camera in cameras]) for each in (whole, less)]
    found = psnr(pictures[1], pictures[0])
    return "no loss" if math.isinf(found) else f"{found:.1f} dB PSNR"
