// Panes of viser's client, one a model: links their cameras, holds views, lays photos over them, keeps the address in step.
// viser's client tells its insides under window.__viserMutable, for its own tests; the page's test holds that it still does.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const panes = data.panes.map((pane, index) => ({...pane, index, shown: false, inside: null}));
const FRAMES = 6;
let held = null; // the view that is held
let leader = null; // the pane that was touched last: the others follow it
let touched = false; // by hand since the view was taken
let last = ""; // the camera that all panes have
let frames = 0; // to draw still: viser's client sorts and projects splats as the frame before saw them
let own = ""; // the fragment that this page wrote into the address
let written = 0; // the timer that will write it
let waiting = null; // a camera of the address, until a pane is there

const inside = (pane) => {
  const found = pane.frame?.contentWindow?.__viserMutable;
  return found?.cameraControl && found.camera && found.drainMessageQueue && found.nodeRefFromName["/models"] ? found : null;
};
const ready = () => panes.filter((pane) => pane.shown && pane.inside);

function build(pane) {
  const section = document.createElement("section");
  const title = document.createElement("h2");
  title.append(pane.label, " ");
  pane.said = document.createElement("span");
  title.append(pane.said);
  const stage = document.createElement("div");
  stage.className = "stage";
  pane.frame = document.createElement("iframe");
  pane.frame.title = `${data.what} of ${pane.name}`;
  pane.photo = new Image();
  pane.photo.alt = "";
  pane.photo.hidden = true;
  stage.append(pane.frame, pane.photo);
  section.append(title, stage);
  pane.section = section;
  at("panes").append(section);
  pane.frame.addEventListener("load", () => {
    const view = pane.frame.contentWindow;
    const touch = () => { leader = pane; touched = true; };
    for (const kind of ["pointerdown", "wheel", "touchstart"]) view.addEventListener(kind, touch, {capture: true, passive: true});
    view.addEventListener("keydown", (event) => { if (!pressed(event)) touch(); }, true);
  });
  pane.frame.srcdoc = data.client[0] + pane.scene + data.client[1];
}

function show(pane, shown) {
  pane.shown = shown;
  if (shown && !pane.section) build(pane);
  if (pane.section) pane.section.hidden = !shown;
  if (pane.section) pane.section.style.display = shown ? "" : "none";
  at("models").children[pane.index + 1].firstChild.checked = shown;
  const count = panes.filter((each) => each.shown).length;
  at("panes").style.setProperty("--columns", count === 4 ? 2 : Math.max(count, 1));
  last = "";
  pictures();
}

const read = (found) => {
  const target = found.cameraControl.getTarget(found.camera.position.clone());
  return [...found.camera.position.toArray(), ...target.toArray(), ...found.camera.up.toArray(), found.camera.fov];
};

function place(found, camera) {
  const [px, py, pz, tx, ty, tz, ux, uy, uz, fov] = camera;
  found.camera.up.set(ux, uy, uz);
  found.cameraControl.updateCameraUp();
  found.cameraControl.setPosition(px, py, pz, false);
  found.cameraControl.setTarget(tx, ty, tz, false);
  found.camera.fov = fov;
  found.camera.updateProjectionMatrix();
  frames = FRAMES;
}

function send(found, ...messages) {
  found.messageQueue.push(...messages);
  frames = FRAMES;
}

// The vertical field of view with which all of a photo is in a pane, and where the photo lies in it then.
function fitted(view, stage) {
  const {clientWidth: width, clientHeight: height} = stage;
  const scale = Math.min(width / view.size[0], height / view.size[1]);
  const focal = view.focal[1] * scale;
  const [across, down] = [view.size[0] * focal / view.focal[0], view.size[1] * scale];
  return {
    fov: 2 * Math.atan(height / 2 / focal) * 180 / Math.PI,
    box: [width / 2 - view.middle[0] * across / view.size[0], height / 2 - view.middle[1] * scale, across, down],
  };
}

function hold(index) {
  held = index;
  touched = false;
  last = "";
  at("view").value = index === null ? "" : String(index);
  at("photo").disabled = index === null;
  for (const pane of ready()) aim(pane);
  overlay();
  pictures();
}

function aim(pane) {
  if (held === null) return;
  const view = data.views[held];
  send(pane.inside,
    {type: "SetCameraUpDirectionMessage", position: view.up, initial: false},
    {type: "SetCameraPositionMessage", position: view.position, initial: false},
    {type: "SetCameraLookAtMessage", look_at: view.lookAt, initial: false});
}

function overlay() {
  const view = held === null ? null : data.views[held];
  for (const pane of panes.filter((each) => each.section)) {
    pane.said.textContent = view && pane.scores[view.name] ? `· ${view.name}: ${pane.scores[view.name]}` : "";
    const found = inside(pane);
    const shown = at("frusta").checked && !view;
    if (found) send(found, ...data.frusta.map((name) => ({type: "SetSceneNodeVisibilityMessage", name, visible: shown, owner: null})));
    pane.photo.hidden = !view || at("photo").value === "0";
    if (!view) continue;
    const {fov, box} = fitted(view, pane.frame);
    if (found) {
      found.camera.fov = fov;
      found.camera.updateProjectionMatrix();
    }
    if (pane.photo.src !== view.photo) pane.photo.src = view.photo;
    Object.assign(pane.photo.style, {left: `${box[0]}px`, top: `${box[1]}px`, width: `${box[2]}px`, height: `${box[3]}px`,
      opacity: at("photo").value / 100});
  }
}

function pictures() {
  const view = held === null ? null : data.views[held];
  const shown = panes.filter((pane) => pane.shown && view && Object.values(pane.pictures).some((kind) => kind[view.name]));
  at("pictures").hidden = !shown.length;
  at("pictures").replaceChildren();
  if (!shown.length) return;
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const text of [view.name, ...data.kinds]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = text;
    head.append(cell);
  }
  for (const pane of shown) {
    const row = table.insertRow();
    const name = document.createElement("th");
    name.scope = "row";
    name.append(pane.name, document.createElement("br"), pane.scores[view.name] || "");
    row.append(name);
    for (const kind of data.kinds) {
      const source = kind === "photo" ? view.photo : pane.pictures[kind][view.name];
      const cell = row.insertCell();
      if (!source) continue;
      const picture = new Image();
      picture.src = source;
      picture.alt = `${kind}, ${pane.name}, ${view.name}`;
      cell.append(picture);
    }
  }
  at("pictures").append(table);
}

function address() {
  const shown = panes.filter((pane) => pane.shown).map((pane) => pane.index + 1).join(",");
  const what = held !== null ? `view=${encodeURIComponent(data.views[held].name)}`
    : last && `camera=${last.split(",").map((number) => +(+number).toFixed(4)).join(",")}`;
  return `#models=${shown}${what ? `&${what}` : ""}`;
}

function visit() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const named = (asked.get("models") || "").split(",").map(Number);
  const some = panes.filter((pane) => named.includes(pane.index + 1));
  const first = panes.slice(0, innerWidth < 700 ? 1 : 2);
  for (const pane of panes) show(pane, (some.length ? some : first).includes(pane));
  const view = data.views.findIndex((each) => each.name === asked.get("view"));
  const camera = (asked.get("camera") || "").split(",").map(Number);
  waiting = camera.length === 10 && camera.every(Number.isFinite) ? camera : null;
  hold(view < 0 ? null : view);
}

function follow() {
  requestAnimationFrame(follow);
  for (const pane of panes) {
    if (!pane.shown || pane.inside || !inside(pane)) continue;
    pane.inside = inside(pane);
    if (waiting) place(pane.inside, waiting);
    else if (held !== null) aim(pane);
    else if (last) place(pane.inside, last.split(",").map(Number));
    overlay();
  }
  const all = ready();
  if (!all.length) return;
  if (frames-- > 0) for (const pane of all) pane.inside.requestRender();
  document.documentElement.dataset.ready = all.length === panes.filter((pane) => pane.shown).length ? "yes" : "";
  if (!all.includes(leader)) leader = all[0];
  const camera = read(leader.inside);
  const said = camera.map((number) => number.toPrecision(9)).join(",");
  if (said === last) return;
  if (last) waiting = null;
  if (held !== null && touched && last) {
    held = null;
    at("view").value = "";
    at("photo").disabled = true;
    overlay();
    pictures();
  }
  last = said;
  touched = touched && held === null;
  if (!waiting) for (const pane of all) if (pane !== leader && held === null) place(pane.inside, camera);
  clearTimeout(written);
  written = setTimeout(() => { own = address(); history.replaceState(null, "", own); }, 250);
}

function step(by) {
  const places = data.views.flatMap((view, index) => view.heldOut ? [index] : []);
  if (!places.length) return;
  const now = places.indexOf(held);
  hold(places[now < 0 ? (by > 0 ? 0 : places.length - 1) : (now + by + places.length) % places.length]);
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(SELECT|TEXTAREA)$/.test(event.target?.tagName || "")) return false;
  const pane = panes[Number(event.key) - 1];
  if (pane) show(pane, !pane.shown);
  else if (event.key === "n") step(1);
  else if (event.key === "p") step(-1);
  else if (event.key === "c") at("frusta").click();
  else if (event.key === "o" && held !== null) { at("photo").value = at("photo").value === "0" ? 100 : 0; overlay(); }
  else return false;
  return true;
}

for (const pane of panes) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.addEventListener("change", () => show(pane, box.checked));
  label.append(box, ` ${pane.name}`);
  at("models").append(label);
}
at("view").append(new Option("free", ""));
for (const [title, heldOut] of data.groups) {
  const group = document.createElement("optgroup");
  group.label = title;
  data.views.forEach((view, index) => view.heldOut === heldOut && group.append(new Option(view.name, String(index))));
  if (group.children.length) at("view").append(group);
}
at("view").addEventListener("change", () => hold(at("view").value === "" ? null : Number(at("view").value)));
at("previous").addEventListener("click", () => step(-1));
at("next").addEventListener("click", () => step(1));
at("photo").addEventListener("input", overlay);
at("frusta").addEventListener("change", overlay);
at("copy").addEventListener("click", async () => {
  own = address();
  history.replaceState(null, "", own);
  try {
    await navigator.clipboard.writeText(location.href);
    at("said").textContent = "copied";
  } catch {
    at("said").textContent = "it stands in the address bar";
  }
});
addEventListener("keydown", pressed);
new ResizeObserver(overlay).observe(at("panes"));
addEventListener("hashchange", () => { if (location.hash !== own) visit(); });
visit();
requestAnimationFrame(follow);
