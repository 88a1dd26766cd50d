// Puts the page together: its head, the table, and what follows from a choice of the reader.

const state = {
  selected: data.first,
  a: null,
  b: null,
  axis: "speedup",
  components: layout.components.map((_, component) => component),
};
state.a = state.selected;
state.b = firstRival(state.selected);

// Whether all charts are there.
let drawn = false;

// ---- choices ----

function select(index, { told = true } = {}) {
  state.selected = index;
  showDetails(state, { compare });
  showImages(state);
  if (drawn) markSelected(state);
  for (const row of document.querySelectorAll("tr.pick")) {
    const chosen = Number(row.dataset.index) === index;
    row.classList.toggle("chosen", chosen);
    row.querySelector("button").setAttribute("aria-pressed", `${chosen}`);
  }
  if (told) {
    const { title, label, difference, half } = scheduleAt(index);
    announce(`${title}: ${label}, difference to uncached ${interval(difference, half)}`);
  }
}

function compare(side, index) {
  state[side] = index;
  showComparison(state);
  announce(`${scheduleAt(state.a).title} is compared with ${scheduleAt(state.b).title}`);
}

function filter(components) {
  state.components = components;
  showDetails(state, { compare });
  showComparison(state);
  drawShares(state);
  markSelected(state);
}

/** Shows only runs of the study's own number of steps, or all. */
function keepSteps(same) {
  showView(same ? views.same : views.all);
  showTable();
  const left = same && columns.steps[state.selected] !== data.steps;
  select(left ? nearestOnFront() : state.selected, { told: false });
  showComparison(state);
  drawAll();
  announce(`The front has ${front.length} schedules`);
}

// ---- the head of the page ----

function showHead() {
  byId("name").textContent = data.name;
  const fastest = columns.label[front[0]];
  const saved = data.cost.name === "latency" ? "as fast" : "fewer MACs";
  const sentences = [
    `${count} schedules were evaluated on ${data.promptCount} prompt${data.promptCount > 1 ? "s" : ""}; ` +
      `${front.length} are on the front, up to ${fastest}x ${saved}.`,
  ];
  if (data.confirmed) sentences.push(data.confirmed.sentences[0] ?? "");
  if (data.recommended) sentences.push(`Recommended: ${data.recommended}.`);
  byId("summary").textContent = sentences.join(" ");
  // A second line of a fact is an aside.
  const facts = data.facts.map(([label, text]) => [label, ...text.split("\n")]);
  byId("facts").replaceWith(withId(figureList(facts, "facts"), "facts"));
  byId("versions").querySelector("dl").replaceWith(figureList(data.versions, "facts"));
  const prompts = byId("prompts");
  const more = data.promptCount - data.prompts.length;
  prompts.querySelector("summary").textContent = `Prompts of the search (${data.promptCount}${more ? `, the first ${data.prompts.length} here` : ""})`;
  prompts.querySelector("ol").append(...data.prompts.map((prompt) => element("li", {}, prompt)));
  if (data.confirmed) {
    const heading = element("summary", {}, `What ${data.confirmed.prompts} unseen prompts say`);
    const list = element("ul", {}, ...data.confirmed.sentences.map((sentence) => element("li", {}, sentence)));
    prompts.before(element("details", { id: "confirmed" }, heading, list));
  }
  byId("made").textContent = `Made by ecad-automl, ${data.made}. All of this page is in this one file; it loads nothing.`;
}

function withId(made, id) {
  made.id = id;
  return made;
}

// ---- the table ----

function tableHead() {
  const latency = data.cost.name === "latency";
  return [
    // What a narrow screen shows without scrolling comes first.
    ["Schedule", "text"], [latency ? "Speedup in time" : "Speedup in MACs", ""], ["Difference in the search", ""],
    ...(data.confirmed ? [["Difference, confirmed", ""], ["Survives", "text"]] : []),
    ["Origin", "text"], ["Steps", "text"], ...(latency ? [["ms per image", ""]] : []), ["GMACs per image", ""],
  ];
}

function tableRow(name, origin, run, label) {
  const { confirmed } = run;
  const cell = (text, kind = null) => element("td", { class: kind }, text);
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, name),
    cell(label),
    cell(run.difference === null ? "–" : interval(run.difference, run.half)),
    ...(data.confirmed ? [cell(confirmedText(confirmed) ?? "–"), cell(survivalText(confirmed) ?? "–", "text")] : []),
    cell(origin, "text"),
    cell(run.outline, "text"),
    ...(data.cost.name === "latency" ? [cell(plain(run.cost))] : []),
    cell(plain(run.gmacs)),
  );
}

function scheduleRow(index) {
  const schedule = scheduleAt(index);
  const mark = index === data.first && data.recommended ? " (recommended)" : "";
  const button = element("button", { type: "button", "aria-pressed": "false" }, `${schedule.title}${mark}`);
  const row = tableRow(button, schedule.origin, schedule, schedule.label);
  row.className = "pick";
  row.dataset.index = index;
  row.addEventListener("click", () => select(index));
  return row;
}

function showTable() {
  const table = byId("front-table");
  const head = tableHead();
  for (const body of [...table.tBodies]) body.remove();
  table.tHead.replaceChildren(element("tr", {}, ...head.map(([text, kind]) => element("th", { scope: "col", class: kind || null }, text))));
  const group = (title, rows) => {
    const heading = element("tr", {}, element("th", { scope: "rowgroup", colspan: `${head.length}` }, title));
    if (rows.length) table.append(element("tbody", {}, heading, ...rows));
  };
  group("Front, the cheapest first", front.map(scheduleRow));
  group("Heuristics", heuristics.map(scheduleRow));
  group("Uncached runs of fewer steps", view.runs.map((run) => tableRow(run.name, "uncached", run, `${run.speedup.toFixed(2)}x`)));
  byId("table-note").textContent =
    "Differences to the uncached run are paired means with 95 % intervals over prompts. " +
    "Choose a row with a click or Enter; ↑ and ↓ go from row to row.";
}

function followTable() {
  const table = byId("front-table");
  table.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const buttons = [...table.querySelectorAll("tr.pick button")];
    const next = buttons[buttons.indexOf(document.activeElement) + (step ?? 0)];
    if (!step || !buttons.includes(document.activeElement) || !next) return;
    event.preventDefault();
    next.focus();
  });
}

// ---- controls ----

function showControls() {
  layout.components.forEach((name, component) => {
    const box = element("input", { type: "checkbox", checked: "", value: `${component}` });
    box.addEventListener("change", () => {
      const chosen = [...byId("components").querySelectorAll("input:checked")].map((each) => Number(each.value));
      // Nothing at all could not be drawn: the last one stays.
      if (chosen.length) filter(chosen);
      else box.checked = true;
    });
    byId("components").append(element("label", {}, box, name));
  });
  byId("toolbar").hidden = layout.components.length < 2;
  byId("same-steps").hidden = views.same === null;
  byId("same-steps").append(` same number of steps (${data.steps})`);
  byId("same-steps").querySelector("input").addEventListener("change", (event) => keepSteps(event.target.checked));
  for (const [axis, text] of [["speedup", "Speedup"], ["cost", data.cost.name === "latency" ? "Time" : "GMACs"]]) {
    const radio = element("input", { type: "radio", name: "axis", value: axis });
    radio.checked = axis === state.axis;
    radio.addEventListener("change", () => { state.axis = axis; drawFront(state); });
    byId("axis").append(element("label", {}, radio, text));
  }
  for (const side of ["a", "b"]) {
    byId(`choice-${side}`).addEventListener("change", (event) => compare(side, Number(event.target.value)));
  }
  byId("swap").addEventListener("click", () => {
    [state.a, state.b] = [state.b, state.a];
    showComparison(state);
  });
}

// ---- the front by pointer and keys ----

function followFront() {
  const chart = byId("front-chart");
  const card = byId("card");
  chart.on("plotly_click", ({ points }) => {
    if (points[0].customdata !== undefined) select(points[0].customdata);
  });
  chart.on("plotly_hover", ({ points, event }) => {
    if (points[0].customdata !== undefined) showCard(card, points[0].customdata, event);
  });
  chart.on("plotly_unhover", () => { card.hidden = true; });
  chart.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      byId("details-title").focus();
      return;
    }
    // The front is in the order of costs, so against that of speedups.
    const toRight = state.axis === "speedup" ? -1 : 1;
    const step = { ArrowLeft: -toRight, ArrowRight: toRight }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = front.indexOf(state.selected);
    const next = at < 0 ? nearestOnFront() : front[Math.max(0, Math.min(front.length - 1, at + step))];
    select(next);
  });
}

function followShares() {
  for (const id of ["share-step", "share-depth"]) {
    byId(id).on("plotly_click", ({ points }) => select(points[0].customdata));
  }
}

function nearestOnFront() {
  const distance = (index) => Math.abs(columns.cost[index] - columns.cost[state.selected]);
  return front.reduce((best, index) => (distance(index) < distance(best) ? index : best));
}

function showCard(card, index, event) {
  const schedule = scheduleAt(index);
  const { confirmed } = schedule;
  card.replaceChildren(
    element("b", {}, `${schedule.title}: ${schedule.label}`),
    element("div", {}, `${interval(schedule.difference, schedule.half)}${confirmed ? " in the search" : ""}`),
    ...(confirmed ? [element("div", {}, `${confirmedText(confirmed)} confirmed`)] : []),
    element("div", { class: "hint" }, [schedule.origin, schedule.operator].filter(Boolean).join(": ")),
    element("div", { class: "hint" }, schedule.outline),
    heatmaps(scheduleCells(index), state.components, { label: schedule.title, rowHeight: 3 }),
  );
  card.hidden = false;
  const left = event.clientX + 18 + card.offsetWidth > innerWidth ? event.clientX - card.offsetWidth - 18 : event.clientX + 18;
  card.style.left = `${Math.max(4, left)}px`;
  card.style.top = `${Math.max(4, Math.min(event.clientY + 12, innerHeight - card.offsetHeight - 4))}px`;
}

// ---- dark and light ----

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? "Switch to light" : "Switch to dark";
}

function drawAll() {
  drawFront(state);
  drawShares(state);
  drawSearch();
  markSelected(state);
}

let themeChosen = false;
byId("theme").addEventListener("click", () => {
  themeChosen = true;
  setTheme(document.documentElement.dataset.theme !== "dark");
  drawAll();
});
prefersDark.addEventListener("change", () => {
  if (themeChosen) return;
  setTheme(prefersDark.matches);
  drawAll();
});

setTheme(prefersDark.matches);
showHead();
showControls();
showTable();
followTable();
select(state.selected, { told: false });
drawFront(state);
followFront();
// What lies further down is drawn once the front is on the screen.
requestAnimationFrame(() => setTimeout(() => {
  performance.mark("front drawn");
  showComparison(state);
  drawShares(state);
  drawSearch();
  followShares();
  drawn = true;
  markSelected(state);
  document.documentElement.dataset.ready = "true";
}));
