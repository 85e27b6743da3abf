// The leaderboard: chooses rows and columns from the page's data, lets DataTables sort, search and page them, and keeps
// the choice in the URL's fragment. bench/report/leaderboard/page.py says what the data holds; details, pictures and download
// follow in leaderboard_extras.js, which the build joins to this file.

const data = JSON.parse(document.getElementById("data").textContent);
const ANY = "*", MEAN = "all", WHOLE_CELL = "-", SEEN = "trained on it";
const FILTERS = ["protocol", "pointmap", "weights", "supervision", "training"];

// ------------------------------------------------------------------------------------------------------------- helpers

const el = (id) => document.getElementById(id);
const raw = (text) => ({ raw: text ?? "" });
const escaped = (text) => String(text).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
/** Template tag: values are escaped unless they are `raw`; null and undefined are empty. */
const html = (parts, ...values) => String.raw({ raw: parts }, ...values.map((value) => value?.raw ?? escaped(value ?? "")));
const joined = (list) => raw(list.join(""));
const capital = (text) => text[0].toUpperCase() + text.slice(1);

// ---------------------------------------------------------------------------------------------------------------- data

const tracks = Object.fromEntries(data.tracks.map((track) => [track.id, track]));
const datasetTitles = Object.fromEntries(data.tracks.flatMap((track) => track.datasets));
/** An object from an array whose places have these names; what is cut off at its end is undefined. */
const unpacked = (names, values) => Object.fromEntries(values.map((value, place) => [names[place], value]));
const rows = data.rows.map((packed, id) => {
  const { condition, source, cells, overlap, ...row } = unpacked(data.rowFields, packed);
  const info = tracks[row.track].models[row.model], about = data.conditions[condition], seen = data.texts[overlap] ?? "";
  const disclosed = about.disclosed && (info.disclosed || about.weights === "random");
  const held = cells.map((cell) => ({ ...unpacked(data.cellFields, cell), seen }));
  return {
    ...about, ...row, id, info, seen,
    training: seen ? SEEN : disclosed ? "no overlap known" : "not fully known",
    source: data.texts[source],
    marks: [...about.marks, ...info.marks],
    supervision: info.supervision,
    cells: Object.fromEntries(held.map((cell) => [data.allMetrics[cell.metric], cell])),
  };
});
const blockTitle = (row) => tracks[row.track].blocks.find(([id]) => id === row.block)?.[1] ?? "";
const cardsOf = (row) => row.info.parts.map((part) => data.cards[part]);
const searchText = (row) => [
  row.info.title, row.model, row.supervision, row.protocol, row.pointmap, datasetTitles[row.dataset], ...row.marks,
  row.seen, ...cardsOf(row).flatMap((card) => [card.arch, ...card.data, card.domain, card.license]),
].join(" ");

// --------------------------------------------------------------------------------------------------------------- state

const defaults = (track) => ({
  track: track.id, layout: "metrics", ...track.start, metric: track.metrics[0].id,
  protocol: ANY, pointmap: ANY, weights: ANY, supervision: ANY, training: ANY, q: "", sort: "", columns: "", picture: "",
});
let state;

function readHash() {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const track = tracks[given.track] ?? data.tracks[0], usual = defaults(track);
  const ids = (list) => [ANY, ...list.map((entry) => entry.id ?? entry[0])];
  const known = { block: ids(track.blocks), dataset: ids(track.datasets), metric: ids(track.metrics).slice(1) };
  state = { ...usual };
  for (const key in usual) if (given[key] && (known[key]?.includes(given[key]) ?? key !== "track")) state[key] = given[key];
}

function writeHash() {
  const usual = { ...defaults(tracks[state.track]), track: data.tracks[0].id };
  history.replaceState(null, "", "#" + new URLSearchParams(Object.entries(state).filter(([key, value]) => value !== usual[key])));
}

function change(changes) {
  const moved = changes.track && changes.track !== state.track;
  state = { ...state, ...(moved ? { ...defaults(tracks[changes.track]), layout: state.layout, q: state.q } : {}), ...changes };
  show();
}

// ----------------------------------------------------------------------------------------------- what a choice selects

const isOfView = (row) => row.track === state.track && [ANY, row.block].includes(row.block === WHOLE_CELL ? ANY : state.block);
const fits = (row) => isOfView(row) && FILTERS.every((key) => state[key] === ANY || row[key] === state[key]);

/** What a row is compared within: one protocol and point map, one data set, one mode or alignment. Groups never mix. */
const groupOf = (row) => [row.group, row.dataset, row.block].join("|");
const groupOrder = (row) => [
  row.group, String(data.datasetOrder.indexOf(row.dataset) + 1).padStart(4, "0"),
  String(tracks[row.track].blocks.findIndex(([id]) => id === row.block) + 1).padStart(2, "0"),
].join("|");

function groupHtml(row) {
  const peers = shownRows.filter((other) => groupOf(other) === groupOf(row));
  const totals = peers.flatMap((peer) => Object.entries(peer.cells).map(([id, cell]) => (id.endsWith("/rank") ? 0 : cell.total ?? 0)));
  const count = Math.max(0, ...totals), unit = row.dataset === MEAN ? "data set" : "scene";
  const parts = [
    row.groupTitle, state.layout === "metrics" && state.dataset === ANY ? datasetTitles[row.dataset] : "",
    state.block === ANY ? blockTitle(row) : "", count && row.dataset !== ANY ? `${count} ${unit}${count > 1 ? "s" : ""}` : "",
  ];
  return html`${parts.filter(Boolean).join(" · ")} ${marksHtml(row.groupMarks, SHORT)}`;
}

/** Row id -> its place by the metric of a column: 1 is the best of its group, equal prints share it. Oracles, controls,
 * random weights and what lacks a scene have none, whatever the table is sorted by, and neither filters nor the search move
 * the others'. */
function placesBy(shown) {
  const places = new Map(), groups = new Map();
  if (shown?.higher == null) return places;
  for (const row of selectedRows(isOfView)) {
    const cell = row.cells[shown.id];
    if (cell?.value == null || cell.unranked) continue;
    if (!groups.has(groupOf(row))) groups.set(groupOf(row), []);
    groups.get(groupOf(row)).push([row.id, cell]);
  }
  for (const members of groups.values()) {
    members.sort(([, a], [, b]) => (shown.higher ? b.value - a.value : a.value - b.value));
    members.forEach(([id, cell], i) => {
      places.set(id, i && members[i - 1][1].text === cell.text ? places.get(members[i - 1][0]) : i + 1);
    });
  }
  return places;
}

/** The rows of the chosen track, data set and mode or alignment that satisfy `condition`, as the table shows them. */
function selectedRows(condition = fits) {
  const chosen = rows.filter(condition);
  if (state.layout === "metrics")
    return chosen.filter((row) => (state.dataset === ANY ? row.dataset !== MEAN : row.dataset === state.dataset));
  const merged = new Map(); // one row a setting, its cells by data set
  for (const row of chosen) {
    const key = [row.model, row.block, row.protocol, row.pointmap, row.weights].join("|");
    const cell = row.cells[state.metric] ?? row.cells[`${state.track}/cell`];
    if (cell && !merged.has(key)) merged.set(key, { ...row, dataset: ANY, seen: "", verified: null, cells: {} });
    if (cell) merged.get(key).cells[row.dataset] = cell;
  }
  return [...merged.values()];
}

/** The value columns on offer: those that a selected row has something to say on; hidden where all say that it is not
 * available, which the text above the table says once. */
function offeredColumns(chosen) {
  const track = tracks[state.track], held = new Set(chosen.flatMap((row) => Object.keys(row.cells)));
  const metric = track.metrics.find(({ id }) => id === state.metric);
  const label = (id, title) => (id === MEAN ? "Mean" : title);
  const byDataset = ([id, title]) => ({ ...metric, id, label: label(id, title), about: title, unit: "", shown: true });
  const all = state.layout === "metrics" ? track.metrics : [...track.datasets.slice(1), track.datasets[0]].map(byDataset);
  const failed = held.has(`${track.id}/cell`);
  const offered = all.filter(({ id, shown }) => held.has(id) || (failed && shown));
  return offered.map((column) => {
    const cells = chosen.flatMap((row) => row.cells[column.id] ?? []);
    const reasons = new Set(cells.map(reasonOf));
    const lacking = cells.length > 0 && cells.every((cell) => cell.status === "unavailable") && [...reasons].join("; ");
    return { ...column, lacking };
  });
}

/** What the reader chose, whichever rows are selected: "id" for a column that is on, "-id" for one that is off. */
const switched = () => new Set(state.columns ? state.columns.split(",") : []);
function isShown({ id, shown, lacking }) {
  const chosen = switched();
  return chosen.has(id) || (shown && !lacking && !chosen.has(`-${id}`));
}

/** Gives a column the range of its values and intervals, and the unit that they share. */
function measure(column, chosen) {
  const cells = chosen.map((row) => cellOf(row, column)).filter((cell) => cell?.value != null);
  column.least = cells.reduce((least, cell) => Math.min(least, cell.low ?? cell.value), Infinity);
  column.most = cells.reduce((most, cell) => Math.max(most, cell.high ?? cell.value), -Infinity);
  const units = new Set(cells.map(unitOf));
  column.unit ||= units.size === 1 ? [...units][0] : "";
}

// --------------------------------------------------------------------------------------------------------------- cells

const UNITS = { metre: "m", millimetre: "mm", scene: "units" };
const cellOf = (row, { id }) => row.cells[id] ?? (state.layout === "metrics" ? row.cells[`${row.track}/cell`] : undefined);
const unitOf = (cell) => UNITS[data.texts[cell.unit]] ?? data.texts[cell.unit] ?? "";
const reasonOf = (cell) => data.texts[cell.note] ?? "";

/** The interval with as many digits as the printed value. */
function interval(cell, { factor }) {
  if (cell.low == null || cell.text == null) return "";
  const digits = (cell.text.split(".")[1] ?? "").length;
  const print = (bound) => (bound * factor).toFixed(digits).replace(/^0(?=\.)/, cell.text.startsWith(".") ? "" : "0");
  return `${print(cell.low)} – ${print(cell.high)}`;
}

function cellHtml(cell, column) {
  if (!cell) return '<span class="none">–</span>';
  const incomplete = cell.total != null && cell.ok < cell.total;
  const said = `${cell.ok} of ${cell.total} succeeded. ${reasonOf(cell)}`;
  const part = raw(incomplete ? html`<span class="part" title="${said}">${cell.ok}/${cell.total}</span> ` : "");
  if (cell.text == null) {
    if (cell.status === "partial") return html`${part}<span class="none">–</span>`;
    const name = cell.status === "unavailable" ? "na" : "bad";
    return html`<span class="${name}" title="${reasonOf(cell)}">${name === "na" ? "n/a" : cell.status}</span>`;
  }
  const unit = raw(cell.unit == null || column.unit ? "" : html` <span class="unit">${unitOf(cell)}</span>`);
  const seen = raw(cell.seen && state.layout === "datasets" ? html`<span class="seen" title="${cell.seen}">†</span>` : "");
  const value = html`${part}<span class="v ${["", "best", "second"][cell.best ?? 0]}">${cell.text}</span>${seen}${unit}`;
  if (cell.low == null) return value;
  const place = (number) => `${((100 * (number - column.least)) / (column.most - column.least || 1)).toFixed(1)}%`;
  const style = `--a:${place(cell.low)};--b:${place(cell.high)};--m:${place(cell.value)}`;
  return html`${raw(value)}<span class="ci">${interval(cell, column)}</span><span class="whisker" style="${style}"></span>`;
}

const SHORT = { "quick protocol": "quick", "simulated point map": "simulated", "point map from ground truth": "true points",
  "noisy point map from ground truth": "noisy true points" };
const MARKS = [[/^random/, "random"], [/^quick/, "quick"], [/^published/, "published"], [/^(reads|control)/, "reference"], [/./, "simulated"]];
const markClass = (mark) => MARKS.find(([pattern]) => pattern.test(mark))[1];
const marksHtml = (list, names = {}) =>
  joined(list.map((mark) => html`<span class="mark ${markClass(mark)}" title="${mark}">${names[mark] ?? mark}</span>`));

/** That the model was trained on the row's data set. */
const seenHtml = (row) => raw(row.seen && html`<span class="mark seen" title="${row.seen}">${SEEN}</span>`);

/** That another machine computed the row's cells anew with the same outcome, or some of them. */
function verifiedHtml({ verified }) {
  const said = verified && html`Computed anew on another machine with the same outcome: ${verified === "all" ? "all cells" : `${verified} cells`}`;
  return raw(said && html`<span class="mark verified" title="${said}">${verified === "all" ? "verified" : `verified ${verified}`}</span>`);
}

function modelHtml(row) {
  const marked = row.marks.map(markClass);
  const plain = [
    marked.includes("quick") || marked.includes("published") ? "" : row.protocol,
    marked.includes("simulated") || row.pointmap === "-" ? "" : row.pointmap,
  ].filter(Boolean).join(" · ");
  return html`<button type="button" class="link" data-row="${row.id}">${row.info.title}</button>
<span class="sub">${marksHtml(row.marks, SHORT)}${seenHtml(row)}${verifiedHtml(row)}${plain}</span>`;
}

// --------------------------------------------------------------------------------------------------------------- table

// What is missing comes last in either direction.
DataTable.ext.type.order["value-asc"] = (a, b) => (a == null) - (b == null) || a - b;
DataTable.ext.type.order["value-desc"] = (a, b) => (a == null) - (b == null) || b - a;
let table = null, shownRows = [], shownColumns = [];

/** A column of DataTables: `get` gives what is sorted, `display` the HTML of a cell. */
const column = (name, title, get, display, more = {}) => ({
  name, title, searchable: false, data: null, orderSequence: ["asc", "desc"],
  render: (_, type, row) => (type === "display" ? display(row) : get(row) ?? null), ...more,
});
const words = (name, title, get, className = "words") => column(name, title, get, (row) => escaped(get(row)), { className });
const cost = (name, title, get, className) =>
  column(name, title, get, (row) => get(row)?.toFixed(get(row) < 10 ? 1 : 0) ?? "–", { type: "value", className });

function headHtml({ label, about, higher, unit }) {
  const arrow = higher == null || state.layout === "datasets" ? "" : higher ? "↑" : "↓";
  const units = raw(unit && html` <small>${unit}</small>`);
  return html`<span title="${about}">${label}<span class="arrow" aria-hidden="true">${arrow}</span>${units}</span>`;
}

/** "1/2": how many scenes (or data sets) have every value that the row has, of how many. */
function covered(row) {
  const asked = (cell) => cell.total != null && cell.status !== "unavailable" && cell.status !== "absent";
  const counted = ([id, cell]) => asked(cell) && !id.endsWith("/rank"); // a rank counts columns
  const found = Object.entries(row.cells).filter(counted), of = (name) => found.map(([, cell]) => cell[name]);
  return found.length ? `${Math.min(...of("ok"))}/${Math.max(...of("total"))}` : null;
}

function tableColumns() {
  const metrics = state.layout === "metrics", probe = state.track === "probe";
  const columns = [
    { ...column("place", '#<span class="hidden"> place</span>', groupOrder, () => ""), className: "place", orderable: false },
    {
      ...column("model", "Model"), className: "model", cellType: "th", searchable: true,
      render: (_, type, row) => ({ display: modelHtml, filter: searchText })[type]?.(row) ?? row.info.title.toLowerCase(),
      createdCell: (cell) => cell.setAttribute("scope", "row"),
    },
  ];
  if (metrics && state.dataset === ANY) columns.push(words("dataset", "Data set", (row) => datasetTitles[row.dataset]));
  if (state.block === ANY) columns.push(words("block", tracks[state.track].block, blockTitle));
  if (probe) columns.push(words("supervision", "Supervision", (row) => row.supervision, "words wide"));
  for (const shown of shownColumns) {
    const value = (row) => cellOf(row, shown)?.value, display = (row) => cellHtml(cellOf(row, shown), shown);
    const more = { type: "value", className: "number", orderSequence: shown.higher ? ["desc", "asc"] : ["asc", "desc"] };
    columns.push(column(shown.id, headHtml(shown), value, display, more));
  }
  if (metrics && shownRows.some((row) => row.seconds != null)) { // nothing of this is published
    const unit = state.dataset === MEAN ? "Data sets" : "Scenes";
    columns.push(column("covered", unit, covered, (row) => covered(row) ?? "–", { className: "number dim" }));
    columns.push(cost("seconds", "Time <small>s</small>", (row) => row.seconds, "number dim"));
    columns.push(cost("memory", "Memory <small>MB</small>", (row) => row.memory, "number dim wide"));
  }
  if (data.pictures.items.some(({ track }) => track === state.track))
    columns.push(column("pictures", "Pictures", () => null, pictureLink, { className: "words", orderable: false }));
  return columns;
}

/** The column that the reader sorts by, and which way; the first is the groups'. */
const orderOf = (api) => api.order().find(([index]) => index) ?? [];
const groupLine = (row, width) =>
  html`<tr class="group"><td class="place"></td><th colspan="${width - 1}" scope="colgroup"><span>${raw(groupHtml(row))}</span></th></tr>`;

function showTable() {
  shownRows = selectedRows();
  const offered = offeredColumns(shownRows);
  showColumnMenu(offered);
  const lacking = offered.filter((each) => each.lacking).map(({ label, lacking }) => ` ${label} has no value: ${lacking}.`);
  el("about").textContent = `${tracks[state.track].about}.${lacking.join("")}`;
  shownColumns = offered.filter(isShown);
  for (const shown of shownColumns) measure(shown, shownRows);
  const columns = tableColumns(), [wanted, direction] = state.sort.split(":");
  const at = (name) => columns.findIndex((each) => each.name === name);
  const main = at(shownColumns[0]?.id), given = at(wanted), usual = main < 0 ? [] : [[main, columns[main].orderSequence[0]]];
  table?.destroy();
  el("table").replaceChildren();
  table = new DataTable("#table", {
    data: shownRows, columns, autoWidth: false, pageLength: 50, lengthMenu: [25, 50, 100, 500], search: { search: state.q },
    order: given < 0 ? usual : [[given, direction === "desc" ? "desc" : "asc"]],
    orderFixed: { pre: [[0, "asc"]] },
    layout: {
      topStart: null, topEnd: null, bottomStart: "info",
      bottomEnd: { paging: { buttons: 5 }, pageLength: { text: "_MENU_ a page" } },
    },
    language: {
      info: "_START_ to _END_ of _TOTAL_ rows", infoEmpty: "no rows", infoFiltered: "(of _MAX_)",
      emptyTable: "Nothing was measured or published under this choice.", zeroRecords: "No row matches the search.",
    },
    createdRow: (line, row) => { line.className = row.marks.map(markClass).join(" "); },
    drawCallback() {
      const api = this.api(), sorted = columns[orderOf(api)[0]];
      const places = placesBy(shownColumns.find(({ id }) => id === sorted?.name));
      api.columns().header().each((head, index) => { // the fixed order by group is not what the reader sorts by
        head.ariaSort = columns[index] === sorted ? { asc: "ascending", desc: "descending" }[orderOf(api)[1]] : null;
      });
      api.table().body().querySelectorAll(".group").forEach((line) => line.remove());
      let before = null;
      api.rows({ page: "current" }).every(function () {
        const row = this.data(), line = this.node();
        line.firstElementChild.textContent = places.get(row.id) ?? "";
        if (groupOf(row) !== before) line.insertAdjacentHTML("beforebegin", groupLine(row, line.cells.length));
        before = groupOf(row);
      });
    },
  });
  table.on("order", () => {
    const [index, way] = orderOf(table);
    state.sort = way ? `${columns[index].name}:${way}` : "";
    writeHash();
  });
}

// ------------------------------------------------------------------------------------------------------------ controls

function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value, false, value === chosen)));
}

function choices(fieldset, type, entries, isChosen) {
  fieldset.querySelectorAll("label").forEach((label) => label.remove());
  const label = ([value, text, more]) => html`<label><input type="${type}" name="${fieldset.id}" value="${value}"
 ${isChosen(value) ? "checked" : ""}><span>${text}${raw(more ? html`<small>${more}</small>` : "")}</span></label>`;
  fieldset.insertAdjacentHTML("beforeend", entries.map(label).join(""));
}

function showColumnMenu(offered) {
  const shown = new Set(offered.filter(isShown).map(({ id }) => id));
  choices(el("columns"), "checkbox", offered.map(({ id, label, about }) => [id, label, about]), (id) => shown.has(id));
}

function showControls() {
  const track = tracks[state.track], probe = track.id === "probe", mine = rows.filter((row) => row.track === track.id);
  const blocks = [...track.blocks, [ANY, "Any"]];
  choices(el("track"), "radio", data.tracks.map(({ id, title }) => [id, title]), (id) => id === state.track);
  choices(el("mode"), "radio", blocks.map(([id, title]) => [id, title.replace(/^Mode /, "")]), (id) => id === state.block);
  choices(el("layout"), "radio", [["metrics", "Metrics"], ["datasets", "Data sets"]], (id) => id === state.layout);
  options(el("block"), blocks, state.block);
  options(el("dataset"), [...track.datasets, [ANY, "Every one, a row each"]], state.dataset);
  options(el("metric"), track.metrics.map(({ id, label }) => [id, label]), state.metric);
  for (const key of FILTERS)
    options(el(key), [[ANY, "any"], ...[...new Set(mine.map((row) => row[key]))].sort().map((name) => [name, name])], state[key]);
  const metrics = state.layout === "metrics";
  const hidden = { mode: !probe, "block-field": probe, "dataset-field": !metrics, "metric-field": metrics };
  for (const id in hidden) el(id).hidden = hidden[id];
  if (el("query").value !== state.q) el("query").value = state.q;
}

function show() {
  const { name, value } = document.activeElement; // of a radio or checkbox that is about to be drawn anew
  const track = tracks[state.track], metric = track.metrics.find(({ id }) => id === state.metric);
  showControls();
  showTable();
  const block = state.block === ANY ? `any ${track.block.toLowerCase()}` : track.blocks.find(([id]) => id === state.block)[1];
  const direction = { true: ", higher is better", false: ", lower is better" }[metric.higher] ?? "";
  const dataset = state.dataset === ANY ? "Every data set" : datasetTitles[state.dataset];
  const what = state.layout === "metrics" ? dataset : `${metric.label}${metric.unit && ` in ${metric.unit}`}${direction}`;
  el("view").textContent = `${capital(what)} · ${block}`;
  el("status").textContent = `${shownRows.length} rows: ${what}, ${block}`;
  showGallery();
  writeHash();
  if (name && value) document.querySelector(`input[name="${name}"][value="${CSS.escape(value)}"]`)?.focus();
}

// -------------------------------------------------------------------------------------------------------------- events

const listen = (id, event, react) => el(id).addEventListener(event, react);

function switchColumn({ target }) {
  const names = switched(), { value, checked } = target;
  names.delete(checked ? `-${value}` : value);
  names.add(checked ? value : `-${value}`);
  change({ columns: [...names].join(",") });
}

function start() {
  let typing;
  for (const key of ["track", "block", "dataset", "metric", ...FILTERS])
    listen(key, "change", ({ target }) => change({ [key]: target.value }));
  listen("layout", "change", ({ target }) => change({ layout: target.value, sort: "", columns: "" }));
  listen("mode", "change", ({ target }) => change({ block: target.value }));
  listen("columns", "change", switchColumn);
  listen("query", "input", ({ target }) => {
    clearTimeout(typing);
    typing = setTimeout(() => { state.q = target.value; table.search(state.q).draw(); writeHash(); }, 120);
  });
  listen("reset", "click", () => { state = defaults(tracks[state.track]); show(); });
  listen("csv", "click", () => download("leaderboard.csv", csvText()));
  listen("share", "click", copyLink);
  listen("theme", "click", ({ target }) => {
    const dark = target.getAttribute("aria-pressed") !== "true";
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
    target.setAttribute("aria-pressed", dark);
  });
  const menu = el("columns").parentElement;
  document.addEventListener("click", ({ target }) => { if (target.isConnected && !menu.contains(target)) menu.open = false; });
  menu.addEventListener("keydown", ({ key }) => { if (key === "Escape") { menu.open = false; menu.firstElementChild.focus(); } });
  listenToDetails();
  listenToGallery();
  window.addEventListener("hashchange", () => { if (!el(location.hash.slice(1))) { readHash(); show(); } }); // not the skip link
  const wide = matchMedia("(min-width: 700px)"), unfold = () => { el("filters").open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  el("theme").setAttribute("aria-pressed", matchMedia("(prefers-color-scheme: dark)").matches);
  readHash();
  show();
  document.documentElement.dataset.ready = Math.round(performance.now());
}

queueMicrotask(start); // once the part that is joined to this file stands
