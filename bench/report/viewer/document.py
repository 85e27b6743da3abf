"""One HTML document that shows models of one scene beside each other, offline: panes of viser's client, cameras linked.

Each pane is viser's own client with one model in it; what links the panes, holds a view and lays its photo over them is
templates/viewer.js.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from bench.core.scenes import Array, MultiViewScene, View
from bench.report.viewer.nodes import FOLDERS, Model, cameras_of, draw, fov_y, middle_depth, open_server

PHOTO = "photo"  #: the kind of picture that every page has
_DATA, _END = '<script>window.__VISER_EMBED_DATA__="', '"'  #: what viser writes around the scene of a document
#: Chromium starts no module worker from a blob: address in a page of file://, so that viser's client would never sort the
#: splats. Where it gets no such address, it falls back to a data: address, which works.
_WORKERS = """<script>if (parent.location.protocol === "file:") {
  const own = URL.createObjectURL;
  URL.createObjectURL = (blob) => (blob.type || "").startsWith("text/javascript") ? "" : own.call(URL, blob);
}</script>"""


@dataclass(frozen=True)
class Kind:
    """What a document shows.

    Attributes:
        what: Stands in a pane.
        pictures: Kinds of pictures beside the panes, after the photo.
        note: The template of the text below.
        folders: Of the frusta of training and of held-out views in the scene tree.
        background: A grey, 0 to 255.
    """

    what: str
    pictures: tuple[str, ...]
    note: str
    folders: tuple[str, str] = FOLDERS
    background: int = 0


def document(
    models: Sequence[Model],
    remarks: Sequence[str],
    scene: MultiViewScene,
    kind: Kind,
    conditions: str,
    marks: Sequence[str],
    **said: Any,
) -> str:
    """The document: a pane a model, the views to choose from, photo and pictures of the one that is chosen.

    Args:
        models: One to four.
        remarks: On each, beside its name.
        scene: The views, in the world of the models.
        kind: Of the models.
        conditions: What the models share: the title.
        marks: Of the conditions.
        said: Values for the note below.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    client, scenes = _documents(models, scene, kind)
    depth = middle_depth(models[0].places, cameras_of(scene)[0])
    panes = [
        {
            "name": model.name,
            "label": f"{model.label}{remark}",
            "scene": data,
            "scores": dict(model.scores),
            "pictures": {each: _pictures(model.pictures, each, scene.test) for each in kind.pictures},
        }
        for model, remark, data in zip(models, remarks, scenes, strict=True)
    ]
    views = [_view(each, depth, held_out=False) for each in scene.train if each.camera is not None]
    views += [_view(each, depth, held_out=True) for each in scene.test if each.camera is not None]
    folders = [folder.strip("/") for folder in kind.folders]
    data = {
        "what": kind.what,
        "client": client,
        "panes": panes,
        "views": views,
        "kinds": [PHOTO, *kind.pictures],
        "frusta": kind.folders,
        "groups": [[folders[1], True], [folders[0], False]],
    }
    room = resources.files("bench.report.viewer").joinpath("templates")
    environment = Environment(
        loader=PackageLoader("bench.report.viewer"), autoescape=select_autoescape(["html", "j2"]), trim_blocks=True
    )
    return environment.get_template("viewer.html.j2").render(
        title=conditions,
        marks=marks,
        css=room.joinpath("viewer.css").read_text(encoding="utf-8"),
        script=room.joinpath("viewer.js").read_text(encoding="utf-8"),
        data=_json(data),
        note=kind.note,
        **said,
    )


def data_uri(picture: Array) -> str:
    """A picture (H, W, 3) uint8 as an address that holds it, compressed as JPEG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _documents(models: Sequence[Model], scene: MultiViewScene, kind: Kind) -> tuple[tuple[str, str], list[str]]:
    """What comes before and after the scene in a document of viser's client, and the scene of each model."""
    found = []
    for model in models:
        with contextlib.redirect_stdout(io.StringIO()):  # viser says where it listens, which is over in a moment
            server = open_server(None)
            try:
                draw(server, [model], scene, photos=False, folders=kind.folders, background=kind.background)
                written = server.scene.as_html(dark_mode=True)
            finally:
                server.stop()
        start = written.index(_DATA) + len(_DATA)
        end = written.index(_END, start)
        found.append((written[:start], written[start:end], written[end:]))
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
        "photo": data_uri(view.image),
    }


def _pictures(pictures: Mapping[str, Array], kind: str, views: Sequence[View]) -> dict[str, str]:
    """The pictures of one kind, by view."""
    names = {view.name: f"{kind}.{view.name}" for view in views}
    return {view: data_uri(pictures[name]) for view, name in names.items() if name in pictures}


def _json(data: Any) -> Any:
    """JSON that may stand in a script element, whatever its texts hold."""
    from markupsafe import Markup

    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))
