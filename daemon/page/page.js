// The page of meantime: what the daemon tells, drawn. The words come from the daemon (view.go) and are put in as text, never as HTML: a
// host's name may be anything. What is computed here is the plot alone.
"use strict";

const $ = (id) => document.getElementById(id);

// lan is the history as the daemon keeps it; curves have their points at lan.times.
let lan = {n: 0, coarse: 0, times: [], curves: [], marks: []};
let loading = false;
// look is the part that is shown: so many seconds up to end, or up to the present where end is null.
const look = {span: 300, end: null};
const shortest = 5, longest = 86400, compactAfter = 5400;
const hidden = new Set(); // ids of curves
let self = "", pointed = ""; // ids of this host and of the curve under the pointer or the focus
let plot = null;

// setText changes an element's text only where it differs, so that selections and screen readers are left alone.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// fill makes a list's elements as many as there are items, by a template, and has each filled in.
function fill(list, template, items, each) {
  while (list.children.length > items.length) list.lastElementChild.remove();
  while (list.children.length < items.length) list.append($(template).content.cloneNode(true));
  items.forEach((item, i) => each(list.children[i], item));
}

// swatch gives an element the look of the curve at a place in lan.curves; none where it has no curve.
function swatch(element, i) {
  element.className = i < 0 ? "swatch none" : `swatch c${i % 8} ${["", "dashed", "dotted", "dashed"][Math.floor(i / 8)]}`;
}

function showRow(tr, row) {
  const [host, votes, offset, jitter, delay, frequency, heard] = tr.children;
  const [mark, name, master, own, sub] = host.children;
  tr.className = row.level;
  tr.dataset.id = row.id;
  swatch(mark, row.curve);
  setText(name, row.name);
  master.hidden = !row.master;
  own.hidden = !row.self;
  setText(sub, row.sub);
  setText(votes.firstElementChild, row.votes);
  setText(offset.firstElementChild, row.offset);
  setText(offset.lastElementChild, row.bound);
  [[jitter, row.jitter], [delay, row.delay], [frequency, row.frequency], [heard, row.heard]].forEach(([cell, text]) => setText(cell, text));
}

function showEvent(li, event) {
  const [time, text, facts] = li.children;
  li.className = event.level;
  time.dateTime = event.at;
  setText(time, clock(new Date(event.at) / 1000));
  time.title = event.at;
  setText(text, event.text);
  setText(facts, event.facts);
}

function showFact(div, fact) {
  setText(div.firstElementChild, fact.name);
  setText(div.lastElementChild, fact.value);
}

function showVerdict(verdict) {
  $("verdict").className = "verdict " + verdict.level;
  setText($("verdict-text"), verdict.text);
  setText($("verdict-detail"), verdict.detail);
  setText($("said"), verdict.said);
}

// show puts a view into words.
function show(view) {
  showVerdict(view.verdict);
  document.title = `${view.verdict.text} · ${view.host}`;
  setText($("host"), view.host);
  self = (view.rows || []).find((row) => row.self)?.id ?? "";
  fill($("rows"), "row", view.rows || [], showRow);
  fill($("events"), "event", view.events || [], showEvent);
  fill($("facts"), "fact", view.facts || [], showFact);
  setText($("note"), view.note);
}

// human is a duration (s) in three figures, as the daemon writes them.
function human(seconds) {
  if (seconds == null) return "–";
  let value = seconds * 1e9, unit = 0;
  while (Math.abs(value) >= 999.5 && unit < 3) value /= 1000, unit++;
  const size = Math.abs(value);
  const decimals = unit === 0 || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return `${value.toFixed(decimals)} ${["ns", "µs", "ms", "s"][unit]}`.replace(/^-0 /, "0 ").replace("-", "−");
}

// ticks writes the numbers of an axis, all in one unit.
function ticks(_, values) {
  const largest = Math.max(...values.map(Math.abs));
  const unit = largest >= 0.9995 ? 3 : largest >= 0.9995e-3 ? 2 : largest >= 0.9995e-6 ? 1 : 0;
  const scale = [1e9, 1e6, 1e3, 1][unit];
  return values.map((value) => `${+(value * scale).toPrecision(6)} ${["ns", "µs", "ms", "s"][unit]}`.replace("-", "−"));
}

// times writes the instants of an axis.
function times(_, instants, __, ___, step) {
  return instants.map((instant) => clock(instant, step < 60));
}

// clock is the time of the day, to the second where that matters.
function clock(seconds, exact = true) {
  const options = {hour: "2-digit", minute: "2-digit", second: exact ? "2-digit" : undefined, hourCycle: "h23"};
  return new Date(seconds * 1000).toLocaleTimeString([], options);
}

const latest = () => lan.times.at(-1) ?? Date.now() / 1000;

// shown is the span of time that is shown: [from, to] in Unix seconds. Live, it begins where there is something, but for a minute.
function shown() {
  const end = look.end ?? latest();
  if (look.end != null) return [end - look.span, end];
  return [Math.max(end - look.span, Math.min(lan.times[0] ?? end, end - Math.min(60, look.span))), end];
}

// visible calls each with the indices of the points that are shown, the newest first.
function visible(each) {
  const [from, to] = shown();
  for (let i = lan.times.length - 1; i >= 0 && lan.times[i] >= from; i--) if (lan.times[i] <= to) each(i);
}

// usual is what three quarters of some sizes are within.
function usual(sizes) {
  return sizes.sort((a, b) => a - b)[Math.floor(0.75 * (sizes.length - 1))] ?? 0;
}

// height is the span of offsets that is shown: room for what every curve usually does and for where it is now, so that one wild moment
// does not flatten the rest; and for this host's bound, as far as it lets the others be seen.
function height() {
  let most = 1e-7, bound = 0;
  for (const curve of lan.curves) {
    if (hidden.has(curve.id)) continue;
    const sizes = [], bounds = [];
    visible((i) => {
      if (curve.offset[i] == null) return;
      sizes.push(Math.abs(curve.offset[i]));
      bounds.push(curve.bound[i] ?? 0);
    });
    const now = sizes[0] ?? 0; // before they are sorted
    most = Math.max(most, 3 * usual(sizes), 1.3 * now);
    if (curve.id === self) bound = 1.3 * usual(bounds);
  }
  const top = Math.max(most, Math.min(bound, 12 * most));
  return [-top, top];
}

// colours are those of page.css in the present theme, which a canvas cannot ask for by itself.
function colours() {
  const probe = document.createElement("i");
  document.body.append(probe);
  const resolve = (prepare) => { prepare(); const colour = getComputedStyle(probe).color; probe.removeAttribute("class"); return colour; };
  const named = (name) => resolve(() => { probe.style.color = `var(--${name})`; });
  const found = {curves: []};
  for (const name of ["text", "soft", "grid", "warn", "bad", "card"]) found[name] = named(name);
  probe.style.color = "";
  for (let i = 0; i < 8; i++) found.curves.push(resolve(() => { probe.className = "c" + i; }));
  probe.remove();
  return found;
}
let tint = null;

// dashes tell apart the curves that share a colour.
const dashes = [[], [8, 4], [2, 4], [10, 3, 2, 3]];

function seriesOf(curve, i) {
  return {
    label: curve.name, stroke: tint.curves[i % 8], width: curve.id === self ? 2.25 : 1.5, dash: dashes[Math.floor(i / 8)],
    show: !hidden.has(curve.id), points: {show: false}, scale: "y",
  };
}

// band shades what lies between two values at each point of a curve that is shown.
function band(u, i, colour, edges) {
  const {ctx} = u;
  const flush = (run) => {
    if (run.length < 2) return;
    ctx.beginPath();
    run.forEach(([x, , high]) => ctx.lineTo(x, high));
    run.reverse().forEach(([x, low]) => ctx.lineTo(x, low));
    ctx.fill();
  };
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  ctx.clip();
  ctx.fillStyle = colour;
  ctx.globalAlpha = 0.16;
  let run = [];
  visible((at) => {
    const [low, high] = edges(lan.curves[i], at);
    if (low == null) { flush(run); run = []; return; }
    run.push([u.valToPos(lan.times[at], "x", true), u.valToPos(low, "y", true), u.valToPos(high, "y", true)]);
  });
  flush(run);
  ctx.restore();
}

// edges are how far a clock may be off; of a minute, how far it went.
function edges(curve, at) {
  const offset = curve.offset[at], bound = curve.bound[at];
  if (offset == null) return [null, null];
  if (at < lan.coarse) return [curve.low[at], curve.high[at]];
  return bound == null ? [null, null] : [offset - bound, offset + bound];
}

function drawBands(u) {
  lan.curves.forEach((curve, i) => {
    if (!hidden.has(curve.id) && (curve.id === self || curve.id === pointed)) band(u, i, tint.curves[i % 8], edges);
  });
}

// drawMarks draws what happened: a line for a new master and for a warning, labelled where there is room, a tick for the rest.
function drawMarks(u) {
  const {ctx, bbox} = u, ratio = devicePixelRatio, [from, to] = shown();
  const row = 17 * ratio, ends = [-Infinity, -Infinity];
  ctx.save();
  ctx.font = `600 ${12 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  for (const mark of lan.marks) {
    if (mark.at < from || mark.at > to) continue;
    const x = Math.round(u.valToPos(mark.at, "x", true));
    const colour = {master: tint.text, warn: tint.warn}[mark.kind] ?? tint.soft;
    if (mark.kind === "info") { tick(ctx, x, bbox, ratio, colour); continue; }
    line(ctx, x, bbox, ratio, colour, mark.kind === "warn");
    const text = mark.text.length > 34 ? mark.text.slice(0, 33) + "…" : mark.text;
    const wide = ctx.measureText(text).width + 12 * ratio;
    const left = Math.max(bbox.left, Math.min(x, bbox.left + bbox.width - wide));
    const free = ends.findIndex((end) => end < left);
    if (free < 0) continue;
    ends[free] = left + wide + 4 * ratio;
    label(ctx, text, left, bbox.top - (free + 1) * row - 2 * ratio, wide, row - 2 * ratio, colour, ratio);
  }
  ctx.restore();
}

function line(ctx, x, bbox, ratio, colour, dashed) {
  ctx.strokeStyle = colour;
  ctx.lineWidth = ratio * (dashed ? 1 : 1.5);
  ctx.setLineDash(dashed ? [4 * ratio, 4 * ratio] : []);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
}

function tick(ctx, x, bbox, ratio, colour) {
  const y = bbox.top + bbox.height, size = 5 * ratio;
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.moveTo(x, y - 2 * size);
  ctx.lineTo(x - size, y);
  ctx.lineTo(x + size, y);
  ctx.fill();
}

function label(ctx, text, x, y, width, size, colour, ratio) {
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.roundRect(x, y, width, size, 4 * ratio);
  ctx.fill();
  ctx.fillStyle = tint.card;
  ctx.fillText(text, x + 6 * ratio, y + size / 2 + ratio);
}

// data is lan as uPlot takes it.
const data = () => [lan.times, ...lan.curves.map((curve) => curve.offset)];

// build makes the plot anew: when curves come or go, and when the theme changes.
function build() {
  plot?.destroy();
  tint = colours();
  const axis = {stroke: tint.soft, grid: {stroke: tint.grid, width: 1}, ticks: {stroke: tint.grid, width: 1, size: 6}};
  axis.font = '12px system-ui, "DejaVu Sans", sans-serif';
  plot = new uPlot({
    width: $("plot").clientWidth, height: $("plot").clientHeight, padding: [40, 28, 0, 0], legend: {show: false},
    cursor: {drag: {x: true, y: false, setScale: false}, focus: {prox: 24}, points: {size: 7}}, focus: {alpha: 0.35},
    scales: {x: {range: shown}, y: {range: height}},
    axes: [{...axis, space: 80, size: 30, values: times}, {...axis, size: 74, space: 36, values: ticks}],
    series: [{}, ...lan.curves.map(seriesOf)],
    hooks: {drawClear: [drawBands], draw: [drawMarks], setSelect: [zoomToSelection], setCursor: [showLegend], setSeries: [pointAt]},
  }, data(), $("plot"));
  plot.over.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 0.8 : 1.25, plot.posToVal(event.offsetX, "x"));
  }, {passive: false});
  legend();
}

function redraw() {
  plot?.setData(data());
  document.querySelectorAll("[data-span]").forEach((button) => {
    button.setAttribute("aria-pressed", look.end == null && Number(button.dataset.span) === look.span);
  });
  showLegend();
}

// pointAt is called by uPlot when the pointer comes near a curve, or leaves it.
function pointAt(_, i) { point(i == null ? "" : lan.curves[i - 1]?.id ?? ""); }

// point has a curve's bound shown.
function point(id) {
  if (id === pointed) return;
  pointed = id;
  plot?.redraw(false);
}

function zoomToSelection(u) {
  if (u.select.width < 4) return;
  const from = u.posToVal(u.select.left, "x"), to = u.posToVal(u.select.left + u.select.width, "x");
  u.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
  look.span = Math.max(shortest, to - from);
  look.end = to;
  redraw();
}

// zoom shows more or less of the time about an instant, which stays where it is.
function zoom(factor, about) {
  const [from, to] = shown(), span = Math.min(longest, Math.max(shortest, look.span * factor));
  const end = about + (to - about) * span / (to - from);
  look.end = look.end == null && about >= to || end >= latest() ? null : end;
  look.span = span;
  redraw();
}

function pan(part) {
  const end = (look.end ?? latest()) + part * look.span;
  look.end = end >= latest() ? null : Math.max(end, (lan.times[0] ?? end) + look.span / 4);
  redraw();
}

// press does what a key stands for, and says whether it is one.
function press(key) {
  const middle = () => (look.end == null ? latest() : look.end - look.span / 2);
  const deeds = {
    "+": () => zoom(0.5, middle()), "=": () => zoom(0.5, middle()), "-": () => zoom(2, middle()),
    ArrowLeft: () => pan(-0.25), ArrowRight: () => pan(0.25),
    0: () => { look.span = 300; look.end = null; redraw(); },
  };
  deeds[key]?.();
  return key in deeds;
}

// legend makes a button for each curve, which hides and shows it.
function legend() {
  fill($("legend"), "curve", lan.curves, (button, curve) => {
    const i = lan.curves.indexOf(curve);
    swatch(button.children[0], i);
    setText(button.children[1], curve.name);
    button.dataset.id = curve.id;
    button.setAttribute("aria-pressed", !hidden.has(curve.id));
  });
  showLegend();
}

function toggle(id) {
  hidden.has(id) ? hidden.delete(id) : hidden.add(id);
  build();
}

// showLegend writes the values under the pointer, or the last ones, and what happened there.
function showLegend() {
  if (!plot) return;
  const at = plot.cursor.idx ?? lan.times.length - 1;
  lan.curves.forEach((curve, i) => setText($("legend").children[i].children[2], human(curve.offset[at])));
  if (plot.cursor.idx == null) {
    const [from, to] = shown();
    setText($("readout"), look.end == null ? `Live: the last ${words(to - from)}` : `From ${clock(from)} to ${clock(to)}`);
    return;
  }
  const [from, to] = shown(), near = (to - from) * 8 / plot.over.clientWidth;
  const now = plot.posToVal(plot.cursor.left, "x");
  const happened = lan.marks.filter((mark) => Math.abs(mark.at - now) <= near).map((mark) => mark.text);
  setText($("readout"), [clock(lan.times[at]), ...new Set(happened)].join(" · "));
}

// words is a span of time.
function words(span) {
  if (span < 120) return `${Math.round(span)} s`;
  return span < 7200 ? `${Math.round(span / 60)} min` : `${Math.round(span / 3600)} h`;
}

// load fetches the whole history: at the start, after a gap, and when the daemon is another one.
async function load() {
  if (loading) return;
  loading = true;
  try {
    const answer = await fetch("history");
    if (!answer.ok) return;
    lan = await answer.json();
    $("plot-card").hidden = false;
    build();
    redraw();
  } catch (error) {
    connected(false); // the next message tries again
  } finally {
    loading = false;
  }
}

// append adds a sample's points; false where it does not follow upon what is here.
function append(message) {
  const known = lan.curves.length === message.points.length && lan.curves.every((curve, i) => curve.id === message.points[i].id);
  const last = lan.times.at(-1), gap = message.at - last;
  if (message.n !== lan.n + 1 || !known || !(gap > 0 && gap < 5) || lan.times.length > compactAfter) return false;
  lan.n = message.n;
  lan.times.push(message.at);
  lan.marks.push(...message.marks);
  lan.curves.forEach((curve, i) => {
    curve.offset.push(message.points[i].offset);
    curve.bound.push(message.points[i].bound);
    curve.name = message.points[i].name;
  });
  return true;
}

function connected(yes) {
  $("line").hidden = false;
  $("line").classList.toggle("lost", !yes);
  setText($("line"), yes ? "live" : "connecting");
  if (!yes) {
    const text = "No word from this host's meantime";
    showVerdict({level: "bad", text, said: text, detail: "What stands here is the last it said. The page goes on by itself when it is back."});
  }
}

// listen keeps the stream of samples open; a browser tries again by itself, unless it was turned away.
function listen() {
  const stream = new EventSource("live");
  stream.onmessage = (event) => {
    const message = JSON.parse(event.data);
    connected(true);
    show(message.view);
    if (message.n === lan.n) return;
    if (append(message)) { legend(); redraw(); } else load();
  };
  stream.onerror = () => {
    connected(false);
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
}

// theme is auto, light or dark; a browser that keeps nothing begins with auto.
const themes = ["auto", "light", "dark"];
function theme(name) {
  document.documentElement.dataset.theme = name;
  setText($("theme"), "Theme: " + name);
  try { localStorage.setItem("theme", name); } catch { /* it is not kept, then */ }
  if (plot) build();
}
function keptTheme() {
  try { return localStorage.getItem("theme") ?? "auto"; } catch { return "auto"; }
}

function start() {
  $("theme").hidden = false;
  theme(themes.includes(keptTheme()) ? keptTheme() : "auto");
  $("theme").addEventListener("click", () => theme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % 3]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (plot) build(); });
  $("plot").addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.altKey && !event.metaKey && press(event.key)) event.preventDefault();
  });
  document.querySelectorAll("[data-key]").forEach((button) => button.addEventListener("click", () => press(button.dataset.key)));
  document.querySelectorAll("[data-span]").forEach((button) => button.addEventListener("click", () => {
    look.span = Number(button.dataset.span);
    look.end = null;
    redraw();
  }));
  const over = (event) => point(event.target.closest("[data-id]")?.dataset.id ?? "");
  for (const list of [$("legend"), $("rows")]) list.addEventListener("pointerover", over);
  for (const list of [$("legend"), $("rows")]) list.addEventListener("pointerleave", () => point(""));
  $("legend").addEventListener("focusin", over);
  $("legend").addEventListener("focusout", () => point(""));
  $("legend").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) toggle(button.dataset.id);
  });
  new ResizeObserver(() => plot?.setSize({width: $("plot").clientWidth, height: $("plot").clientHeight})).observe($("plot"));
  listen();
}
start();
