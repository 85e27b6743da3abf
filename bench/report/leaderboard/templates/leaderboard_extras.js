// What the leaderboard offers beside its table: a row's details with the model's card, the pictures with a slider, and the
// shown rows as CSV. Joined to leaderboard.js by the build.

// ------------------------------------------------------------------------------------------------------------- details

const PAPERS = { arXiv: "https://arxiv.org/abs/", doi: "https://doi.org/", https: "https:" };

function paperHtml(paper) {
  const at = paper.indexOf(":"), start = PAPERS[paper.slice(0, at)];
  return start ? raw(html`<a href="${start + paper.slice(at + 1)}" rel="noopener noreferrer">${paper}</a>`) : paper || "-";
}

/** What it was trained on: the card's words, the data sets that they stand for, and where that is stated. */
function trainingText({ data: words, parts, dataSources, weights }) {
  if (!words.length) return weights ? "not recorded" : "none";
  const holds = parts.join(", ") === words.join(", ") ? "" : `: ${parts.join(", ")}`;
  return `${words.join(", ")}${holds}${dataSources.length ? ` (${dataSources.join("; ")})` : ""}`;
}

function cardHtml(card, id) {
  const facts = {
    Name: id, Architecture: card.arch, Channels: card.channels || "-", Supervision: card.supervision, Domain: card.domain,
    "Training data": trainingText(card), Licence: card.license === "-" ? "not stated" : card.license,
    Weights: card.weights || "none needed, or not known", Paper: paperHtml(card.paper), Note: card.note,
  };
  const known = Object.entries(facts).filter(([, fact]) => fact !== "");
  const lines = known.map(([name, fact]) => html`<div><dt>${name}</dt><dd>${fact}</dd></div>`);
  const origin = card.registered ? "Registered in this suite." : "Not registered in this suite: as the papers describe it.";
  const page = data.pages?.[id];
  const more = page ? raw(html` <a href="${page}">All of its scores, pictures and commands</a>`) : "";
  return html`<h3>${card.name}</h3><dl>${joined(lines)}</dl><p class="about">${origin}${more}</p>`;
}

function showDetails(row) {
  const whole = { id: `${row.track}/cell`, label: "Whole cell", about: "", factor: 1 };
  const lines = [...tracks[row.track].metrics, whole].filter(({ id }) => row.cells[id]).map((metric) => {
    const cell = row.cells[metric.id], value = cell.text == null ? "–" : `${cell.text} ${metric.unit || unitOf(cell)}`;
    const count = cell.total == null ? "–" : `${cell.ok}/${cell.total}`;
    const status = [cell.status, reasonOf(cell)].filter(Boolean).join(": ");
    return html`<tr><th scope="row">${metric.label}<small>${metric.about}</small></th><td>${value}</td>
<td>${interval(cell, metric) || "–"}</td><td>${count}</td><td class="reason">${status}</td></tr>`;
  });
  const conditions = [
    datasetTitles[row.dataset], blockTitle(row), `protocol ${row.protocol}`, row.pointmap === "-" ? "" : `point map ${row.pointmap}`,
    `weights ${row.weights}`,
  ];
  const heads = ["Metric", "Value", "95 % interval", row.dataset === MEAN ? "Data sets" : "Scenes", "Status"];
  el("details-body").innerHTML = html`<button type="button" class="quiet close" data-close>Close</button>
<h2 id="details-title">${row.info.title}</h2><p>${marksHtml(row.marks)}${seenHtml(row)}${verifiedHtml(row)} ${conditions.filter(Boolean).join(" · ")}</p>
${raw(row.seen && html`<p class="about">${capital(row.seen)}.</p>`)}
${joined(cardsOf(row).map((card, i) => cardHtml(card, row.info.parts[i])))}
<h3>Values</h3><div class="scroll" tabindex="0" role="region" aria-label="Values"><table>
<thead><tr>${joined(heads.map((head) => html`<th scope="col">${head}</th>`))}</tr></thead>
<tbody>${joined(lines)}</tbody></table></div>
${raw(row.source && html`<p class="about">Source: ${row.source}</p>`)}`;
  el("details").showModal();
}

function listenToDetails() {
  listen("table", "click", ({ target }) => {
    const button = target.closest("[data-row]");
    if (button) showDetails(rows[button.dataset.row]);
  });
  listen("details", "click", ({ target }) => {
    if (target.id === "details" || target.closest("[data-close]")) el("details").close();
  });
}

// ------------------------------------------------------------------------------------------------------------ pictures

const KINDS = { render: "Render", depth: "Depth", normal: "Normals", points: "Points", error: "Error" };
const BEFORE = { photo: "Photo", "depth-truth": "True depth", "normal-truth": "True normals", "points-truth": "True points" };
const { items, images } = data.pictures;
const placeOf = (item) => `${item.track}/${item.dataset}/${item.scene}`;
const beforeOf = (item, kind) => data.pictures.before[kind].find((name) => name in item.kinds);
const kindsOf = (item) => Object.keys(KINDS).filter((kind) => kind in item.kinds && beforeOf(item, kind));

/** The button of a table row that leads to its pictures: of its data set, or of any where the row stands for all. */
function pictureLink(row) {
  const at = items.findIndex((item) => item.track === row.track && item.model === row.model
    && [ANY, MEAN, item.dataset].includes(row.dataset) && (row.track === "geometry" || item.mode === row.block)
    && ["protocol", "pointmap", "weights"].every((key) => item[key] === row[key]));
  const name = raw(html`view<span class="hidden"> ${row.info.title}</span>`);
  return at < 0 ? "" : html`<button type="button" class="link" data-picture="${at}">${name}</button>`;
}

function budgetText() {
  const { left_out: left, bytes, budget, scenes_a_dataset: scenes } = data.pictures, size = (count) => (count / 1e6).toFixed(1);
  return `One held-out view a scene, at most ${scenes} scenes a data set. `
    + `${images.length} pictures, ${size(bytes)} of at most ${size(budget)} MB. `
    + (left ? `${left} pairs found no room and are left out; the report's gallery has them.` : "Nothing was left out for its size.");
}

/** What the gallery opens with: the best of the first scene that is neither random nor a reference. */
function firstShown(mine) {
  const real = (item) => item.model !== "instantsplat" && !item.marks.some((mark) => /random|reference/.test(markClass(mark)));
  const own = mine.filter((item) => real(item) && placeOf(item) === placeOf(mine[0]) && item.mode === mine[0].mode);
  return own.reduce((best, item) => (parseFloat(item.detail) > parseFloat(best.detail) ? item : best), own[0] ?? mine[0]);
}

/** state.picture is "<index of the item>:<kind>"; what it lacks is the first that there is. */
function showGallery() {
  const mine = items.filter((item) => item.track === state.track);
  el("gallery").hidden = !mine.length;
  if (!mine.length) return;
  const [at, wanted] = state.picture.split(":"), item = mine.includes(items[at]) ? items[at] : firstShown(mine);
  const here = mine.filter((other) => placeOf(other) === placeOf(item));
  const kinds = kindsOf(item), kind = kinds.includes(wanted) ? wanted : kinds[0], before = beforeOf(item, kind);
  if (state.picture) state.picture = `${items.indexOf(item)}:${kind}`;
  const modeTitle = (mode) => blockTitle({ track: item.track, block: mode }) || mode;
  const modes = [...new Set(here.map(({ mode }) => mode))].map((mode) => [mode, modeTitle(mode)]);
  options(el("scene"), [...new Map(mine.map((other) => [placeOf(other), other.place]))], placeOf(item));
  options(el("picture-mode"), modes, item.mode);
  el("picture-mode").parentElement.hidden = item.track !== "probe";
  choices(el("kind"), "radio", kinds.map((name) => [name, KINDS[name]]), (name) => name === kind);
  Object.assign(el("before"), { src: images[item.kinds[before]], alt: `${BEFORE[before]} of ${item.place}, view ${item.view}` });
  Object.assign(el("after"), { src: images[item.kinds[kind]], alt: `${KINDS[kind]} by ${item.title}, the same view` });
  el("before-name").textContent = BEFORE[before];
  el("after-name").textContent = KINDS[kind];
  el("shown-model").innerHTML = html`<b>${item.title}</b> ${item.detail} ${marksHtml(item.marks)}`;
  el("cut").setAttribute("aria-label", `${BEFORE[before]} over ${KINDS[kind].toLowerCase()}: share shown, in percent`);
  el("budget").textContent = budgetText();
  const peers = here.filter(({ mode }) => mode === item.mode || mode === "instantsplat"); // it stands beside every mode
  const thumb = (other) => {
    const random = marksHtml(other.marks.filter((mark) => /random|reference/.test(markClass(mark))));
    const image = images[other.kinds[kind] ?? other.kinds[kindsOf(other)[0]]];
    return html`<li><button type="button" data-picture="${items.indexOf(other)}" aria-pressed="${other === item}">
<img alt="" src="${image}"><span>${other.title} <small>${other.detail}</small> ${random}</span></button></li>`;
  };
  el("thumbs").innerHTML = peers.map(thumb).join("");
}

function listenToGallery() {
  const pick = (index, kind) => {
    state.picture = `${Math.max(0, index)}:${kind ?? state.picture.split(":")[1] ?? ""}`;
    showGallery();
    writeHash();
  };
  const first = (fits) => items.findIndex(fits);
  const current = () => (state.picture ? Number(state.picture.split(":")[0]) : first(({ track }) => track === state.track));
  listen("scene", "change", ({ target }) => pick(first((item) => placeOf(item) === target.value)));
  listen("picture-mode", "change", ({ target }) =>
    pick(first((item) => placeOf(item) === el("scene").value && item.mode === target.value)));
  listen("kind", "change", ({ target }) => { pick(current(), target.value); document.querySelector("#kind :checked").focus(); });
  listen("cut", "input", ({ target }) => target.parentElement.style.setProperty("--cut", `${target.value}%`));
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-picture]");
    if (!button) return;
    pick(Number(button.dataset.picture));
    if (!button.isConnected) { // one of the small pictures, which were drawn anew
      document.querySelector("#thumbs [aria-pressed=true]").focus();
      return;
    }
    el("gallery").scrollIntoView();
    el("cut").focus({ preventScroll: true });
  });
}

// ------------------------------------------------------------------------------------------------------------- sharing

function csvText() {
  const quoted = (value) => (/[",\n]/.test(value ?? "") ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  const places = placesBy(shownColumns.find(({ id }) => id === state.sort.split(":")[0]) ?? shownColumns[0]);
  const keys = ["place", "track", "dataset", "model", "title", "block", "pointmap", "protocol", "weights", "marks", "seen", "verified", "source", "seconds",
    "memory"];
  const parts = { "": "value", _low: "low", _high: "high", _n_ok: "ok", _n_total: "total", _status: "status", _note: "note",
    _unit: "unit" };
  const part = (cell, name) => {
    if (!cell) return "";
    if (name === "status") return cell.status ?? "ok";
    return name === "note" || name === "unit" ? data.texts[cell[name]] : cell[name];
  };
  const line = (row) => [
    ...keys.map((key) => ({ place: places.get(row.id) ?? "", title: row.info.title, marks: row.marks.join("; ") })[key] ?? row[key]),
    ...shownColumns.flatMap((shown) => Object.values(parts).map((name) => part(cellOf(row, shown), name))),
  ];
  const head = [...keys, ...shownColumns.flatMap(({ id }) => Object.keys(parts).map((ending) => id.split("/").pop() + ending))];
  const found = table.rows({ order: "applied", search: "applied" }).data().toArray();
  return [head, ...found.map(line)].map((fields) => fields.map(quoted).join(",") + "\n").join("");
}

function download(name, text) {
  const href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = Object.assign(document.createElement("a"), { href, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}

async function copyLink({ target }) {
  try {
    await navigator.clipboard.writeText(location.href);
    target.textContent = "Copied";
  } catch {
    target.textContent = "Copy the address bar";
  }
  setTimeout(() => { target.textContent = "Copy link"; }, 1500);
}
