"use strict";
// Asks the server every second for what is new, and draws it. Whatever a sweep says is text, never markup.

const SECOND = 1000, SLOW = 5 * SECOND;
const DRAWN = 60; // curves, besides those of the best trial, the baseline and running trials
const MARGIN = { left: 52, right: 34, top: 10, bottom: 34 };
const at = id => document.getElementById(id);
let chosen = location.hash.slice(1); // the key of a sweep; empty: the server chooses
let sweep = null; // the latest answer about it
let trials = new Map(); // trial -> the latest that is known of it, with all epochs of its curves
let rows = new Map(); // trial -> its row in the table
let lost = null; // since when the server has not answered
let asked = 0, timer = 0;

async function ask() {
  clearTimeout(timer);
  const mine = ++asked; // an answer that comes after another sweep was chosen is dropped
  let wait = SLOW;
  try {
    const query = new URLSearchParams({ sweep: chosen, view: sweep?.view ?? "", events: sweep?.events ?? 0 });
    const response = await fetch(`feed?${query}`, { signal: AbortSignal.timeout(20 * SECOND) });
    if (!response.ok) throw new Error(await response.text());
    const answer = await response.json();
    if (mine !== asked) return;
    lost = null;
    take(answer);
    wait = sweep?.more ? 0 : !sweep || sweep.state === "running" ? SECOND : SLOW;
  } catch (error) {
    if (mine !== asked) return;
    lost ??= new Date();
    console.warn(error);
  }
  connection();
  timer = setTimeout(ask, wait);
}

function take(answer) {
  if (answer.sweep?.view !== sweep?.view) {
    trials = new Map();
    rows = new Map();
    at("trials").tBodies[0].replaceChildren();
  }
  sweep = answer.sweep;
  chosen = sweep?.key ?? chosen;
  for (const news of sweep?.trials ?? []) {
    const known = trials.get(news.trial)?.curves ?? {};
    const joined = Object.entries(news.curves).map(([name, tail]) => [
      name, [...(known[name] ?? []).slice(0, news.kept), ...tail],
    ]);
    trials.set(news.trial, { ...news, curves: Object.fromEntries(joined) });
  }
  list(answer);
  at("shown").hidden = !sweep?.title;
  if (sweep?.title) draw(sweep.trials.map(news => news.trial));
}

function connection() {
  const gone = `No answer from the server since ${lost?.toLocaleTimeString()}.`
    + (sweep && sweep.state !== "running" ? " This sweep had ended." : " It may have ended with its sweep.")
    + " The command text-sweeps ui shows all sweeps of its folder. Asking again every few seconds …";
  const waiting = chosen ? "There is no such sweep here." : "No sweep runs here now. The next one appears as soon as it has begun.";
  text(at("connection"), lost ? gone : sweep ? "This page follows the sweep's journal." : waiting);
  at("connection").className = lost ? "warning" : "soft";
}

// ---- Words and tables: only what differs is written, so that focus, selection and place on the page stay.

function element(tag, words = "", properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: words }, properties);
}

function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function items(node, texts, tag = "li") {
  while (node.children.length > texts.length) node.lastElementChild.remove();
  while (node.children.length < texts.length) node.append(element(tag));
  texts.forEach((words, index) => text(node.children[index], words));
}

function list({ sweeps, older }) {
  const shown = JSON.stringify([chosen, sweeps.map(each => [each.key, each.state, each.report])]);
  if (at("sweeps").dataset.shown === shown) return;
  at("sweeps").dataset.shown = shown;
  at("sweeps").replaceChildren(...sweeps.map(each => {
    const line = element("li"), link = element("a", each.title, { href: `#${each.key}` });
    if (each.key === chosen) link.setAttribute("aria-current", "true");
    line.append(link, ` ${each.state}, begun ${new Date(each.began * SECOND).toLocaleString()}, ${each.name} `);
    if (each.report) line.append(element("a", "its report", { href: `report/${each.key}` }));
    return line;
  }));
  at("others").hidden = sweeps.length === 0;
  text(at("older"), older ? `${older} older ones are not listed; each has its report in its folder.` : "");
}

function draw(changed) {
  document.title = `${sweep.state}: ${sweep.title}`;
  for (const part of ["title", "name", "status"]) text(at(part), sweep[part]);
  text(at("fault"), `The journal cannot be read any further: ${sweep.fault}`);
  at("fault").hidden = !sweep.fault;
  at("standin").hidden = !sweep.standin;
  at("no-references").hidden = sweep.references.length > 0;
  text(at("no-references"), sweep.state === "running" ? "None has ended yet." : "There are none.");
  at("failures-title").hidden = sweep.failures.length === 0;
  for (const part of ["verdict", "references", "failures"]) items(at(part), sweep[part]);
  const facts = Object.entries(sweep.facts);
  items(at("facts"), facts.map(() => ""), "div");
  facts.forEach((fact, index) => at("facts").children[index].append(element("dt", fact[0]), element("dd", fact[1])));
  const metric = at("metric"), wanted = metric.value || sweep.score;
  metric.parentElement.hidden = sweep.curves.length === 0;
  if ([...metric.options].map(option => option.value).join() !== sweep.curves.join()) {
    metric.replaceChildren(...sweep.curves.map(name => element("option", name, { value: name })));
    metric.value = sweep.curves.includes(wanted) ? wanted : sweep.curves[0] ?? "";
  }
  table(changed);
  charts();
}

function table(changed) {
  const body = at("trials").tBodies[0], head = at("trials").tHead.rows[0];
  items(head, sweep.columns, "th");
  head.lastElementChild.className = "words";
  for (const trial of changed.map(each => trials.get(each))) {
    const row = rows.get(trial.trial) ?? element("tr");
    items(row, sweep.columns.map(name => trial.cells[name]), "td");
    sweep.columns.forEach((name, index) => { row.cells[index].dataset.label = name; });
    row.lastElementChild.className = "words";
    rows.set(trial.trial, row);
  }
  const order = [...trials.values()].sort(at("order").value === "best" ? better : (one, two) => two.trial - one.trial);
  order.forEach((trial, index) => {
    const row = rows.get(trial.trial);
    if (trial.running) text(row.cells[1], sweep.unfinished);
    row.className = kind(trial);
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  });
}

function better(one, two) {
  const worth = trial => trial.score === null ? -Infinity : sweep.better === "max" ? trial.score : -trial.score;
  return worth(one) === worth(two) ? one.trial - two.trial : worth(two) - worth(one);
}

function kind(trial) {
  const running = trial.running && sweep.state === "running";
  const is = { running, baseline: trial.trial === sweep.baseline, best: trial.trial === sweep.best };
  return Object.keys(is).filter(name => is[name]).join(" ");
}

// ---- Charts

function charts() {
  const metric = at("metric").value, all = [...trials.values()].sort((one, two) => one.trial - two.trial);
  const curved = all.filter(trial => trial.curves[metric]?.length);
  const others = curved.filter(trial => !kind(trial));
  const marked = curved.filter(kind).sort((one, two) => (one.trial === sweep.best) - (two.trial === sweep.best));
  const drawn = [...others.slice(-DRAWN), ...marked]; // the best one above all others
  text(at("drawn"), others.length > DRAWN ? `the latest ${DRAWN} of ${others.length} others` : "");
  plot(at("curves"), "epoch", `${metric} after each epoch; its numbers are in the table below`, drawn.map(trial => (
    { kind: kind(trial), name: kind(trial) && trial.trial, points: trial.curves[metric].map((y, x) => [x + 1, y]) }
  )));
  if (at("numbers").parentElement.parentElement.open) numbers(drawn, metric);

  const scored = all.filter(trial => trial.score !== null), searches = sweep.best !== null;
  const lines = scored.map(trial => ({ kind: "dot", points: [[trial.trial, trial.score]] }));
  const steps = []; // of the best so far
  for (let best = scored[0], index = 0; searches && index < scored.length; index++) {
    const before = best.score;
    if (better(scored[index], best) < 0) best = scored[index];
    steps.push([scored[index].trial, before], [scored[index].trial, best.score]);
  }
  if (steps.length) lines.push({ kind: "best", points: steps });
  const baseline = trials.get(sweep.baseline), ends = [scored[0], scored.at(-1)];
  if (baseline) lines.push({ kind: "baseline", points: ends.map(trial => [trial.trial, baseline.score]) });
  for (const name of ["best", "baseline"]) {
    for (const entry of document.querySelectorAll(`.legend .${name}`)) entry.hidden = sweep[name] === null;
  }
  text(at("scores-title"), `${sweep.score} of each trial`);
  plot(at("scores"), "trial", `${sweep.score} of each trial; its numbers are in the table of trials`, lines);
}

function plot(box, unit, description, lines) {
  const points = lines.flatMap(line => line.points), width = box.clientWidth, height = box.clientHeight;
  const nothing = `Nothing to draw${sweep.state === "running" ? " yet" : ": no trial has a value"}.`;
  if (!points.length) box.replaceChildren(element("p", nothing, { className: "soft" }));
  if (!points.length || !width) return;
  const limit = (axis, of) => points.map(point => point[axis]).reduce((one, two) => of(one, two));
  const [left, right] = [limit(0, Math.min), limit(0, Math.max)];
  const [low, high] = [limit(1, Math.min), limit(1, Math.max)];
  const room = (high - low) / 20 || Math.abs(high) / 20 || 1, { left: start, top } = MARGIN;
  const end = width - MARGIN.right, bottom = height - MARGIN.bottom;
  const x = value => start + (value - left) / (right - left || 1) * (end - start);
  const y = value => bottom - (value - low + room) / (high - low + 2 * room) * (bottom - top);
  const svg = shape("svg", { width, height, role: "img", "aria-label": description });
  for (const value of ticks(low - room, high + room, 5)) {
    svg.append(shape("line", { class: "grid", x1: start, x2: end, y1: y(value), y2: y(value) }));
    svg.append(shape("text", { x: start - 6, y: y(value) + 4, "text-anchor": "end" }, value));
  }
  for (const value of ticks(left, right, width / 70, 1)) {
    svg.append(shape("text", { x: x(value), y: bottom + 16, "text-anchor": "middle" }, value));
  }
  svg.append(shape("text", { x: (start + end) / 2, y: height - 2, "text-anchor": "middle" }, unit));
  for (const line of lines) {
    const places = line.points.map(point => `${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`);
    const single = places.length === 1 ? "single" : "";
    if (single) places.push(places[0]); // a line of no length is a dot
    svg.append(shape("polyline", { class: `curve ${line.kind} ${single}`, points: places.join(" ") }));
  }
  const named = []; // heights; a name that would cover that of a line above it is left out
  for (const line of [...lines].reverse()) {
    const [last, level] = [x(line.points.at(-1)[0]), y(line.points.at(-1)[1])];
    if (!["", undefined].includes(line.name) && named.every(other => Math.abs(other - level) > 11)) {
      svg.append(shape("text", { class: "name", x: last + 5, y: level + 4 }, line.name));
      named.push(level);
    }
  }
  box.replaceChildren(svg);
}

function ticks(low, high, most, smallest = 0) {
  const rough = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(smallest, [1, 2, 5, 10].map(each => each * power).find(each => each >= rough * 0.999));
  const count = Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  return Array.from({ length: count }, (_, each) => +((Math.ceil(low / step - 1e-9) + each) * step).toPrecision(6));
}

function shape(tag, attributes, words = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = words;
  return made;
}

function numbers(drawn, metric) {
  const line = (tag, cells) => {
    const row = element("tr");
    row.append(...cells.map((cell, index) => element(index ? tag : "th", cell)));
    return row;
  };
  const epochs = Math.max(0, ...drawn.map(trial => trial.curves[metric].length));
  const head = ["trial", ...Array.from({ length: epochs }, (_, index) => `epoch ${index + 1}`)];
  const body = drawn.map(trial => [trial.cells.trial, ...trial.curves[metric].map(value => value.toFixed(4))]);
  at("numbers").replaceChildren(line("th", head), ...body.map(cells => line("td", cells)));
}

addEventListener("hashchange", () => {
  chosen = location.hash.slice(1);
  sweep = null;
  ask();
});
addEventListener("resize", () => sweep?.title && charts());
document.addEventListener("visibilitychange", () => document.hidden || ask()); // a hidden page's clock goes slowly
at("metric").addEventListener("change", charts);
at("to-trials").addEventListener("click", () => at("trials-title").focus());
at("order").addEventListener("change", () => table([]));
at("numbers").parentElement.parentElement.addEventListener("toggle", charts);
ask();
