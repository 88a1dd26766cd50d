// A schedule as pictures: for each component, blocks downwards and steps to the right.

const SVG = "http://www.w3.org/2000/svg";
const TALLEST_ROW = 13;
const FIELD_HEIGHT = 190;

/** Cells of a single schedule. */
function scheduleCells(index) {
  const more = columns.more[index];
  return {
    steps: columns.steps[index],
    classes: ["reused", "forecast-1", "forecast-2", "forecast-3", "computed", "skipped", "unguided"],
    names: ["reused", "forecast by 1/3", "forecast by 2/3", "forecast", "computed", "skipped", "without guidance"],
    shown: more === null ? [0, 4] : more.guidance?.includes("5") ? [0, 1, 2, 3, 4, 5, 6] : [0, 1, 2, 3, 4, 5],
    guidance: more?.guidance ? (step) => guidanceAction(index, step) : null,
    state: (step, slot) => action(index, step, slot),
    caption: (share) => `${percent(share[4])} computed`,
  };
}

/** Cells that tell two schedules apart; where one has fewer steps, it is stretched. */
function differenceCells(a, b) {
  const steps = Math.max(columns.steps[a], columns.steps[b]);
  return {
    steps,
    guidance: null,
    classes: ["reused", "both", "a", "b", "other"],
    names: ["reused in both", "computed in both", "computed in A alone", "computed in B alone", "forecast or skipped otherwise"],
    shown: columns.more[a] === null && columns.more[b] === null ? [0, 1, 2, 3] : [0, 1, 2, 3, 4],
    state: (step, slot) => {
      const [atA, atB] = [stepAt(a, step, steps), stepAt(b, step, steps)];
      const [inA, inB] = [computes(a, atA, slot), computes(b, atB, slot)];
      if (!inA && !inB) return action(a, atA, slot) === action(b, atB, slot) ? 0 : 4;
      return inA ? (inB ? 1 : 2) : 3;
    },
    caption: (share) => `${percent(share[2] + share[3] + share[4])} differ`,
  };
}

/** One figure for each chosen component; a line below says what the pointer is on. */
function heatmaps(cells, components, { label, rowHeight = null } = {}) {
  const readout = element("p", { class: "readout", "aria-hidden": "true" });
  const maps = element("div", { class: "maps" });
  const place = { label, rowHeight, readout };
  if (cells.guidance) {
    const caption = (share) => {
      const both = Math.round(share[4] * cells.steps);
      return `both branches in ${both} step${both === 1 ? "" : "s"}`;
    };
    maps.append(heatmap({ ...cells, state: cells.guidance, caption }, "guidance", [null], place));
  }
  for (const component of components) maps.append(heatmap(cells, layout.components[component], componentSlots[component], place));
  const box = element("div", {}, maps);
  if (rowHeight === null) box.append(readout, heatmapKey(cells));
  return box;
}

function heatmapKey(cells) {
  const key = element("div", { class: "key" });
  cells.shown.forEach((state) => {
    const name = cells.classes[state];
    const swatch = document.createElementNS(SVG, "svg");
    swatch.setAttribute("class", "swatch");
    swatch.setAttribute("viewBox", "0 0 1 1");
    swatch.setAttribute("aria-hidden", "true");
    swatch.append(path(name, "M0 0h1v1h-1z"));
    key.append(element("span", {}, swatch, cells.names[state]));
  });
  return key;
}

function path(name, drawn) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", `fill-${name}`);
  made.setAttribute("d", drawn);
  return made;
}

/** Rows are slots, or one of no slot. */
function heatmap(cells, name, slots, { label, rowHeight, readout }) {
  const height = rowHeight ?? Math.max(3, Math.min(TALLEST_ROW, FIELD_HEIGHT / slots.length));
  const drawn = cells.classes.map(() => "");
  const counts = cells.classes.map(() => 0);
  slots.forEach((slot, row) => {
    for (let step = 0; step < cells.steps; step += 1) {
      const state = cells.state(step, slot);
      drawn[state] += `M${step} ${row}h1v1h-1z`;
      counts[state] += 1;
    }
  });
  const share = counts.map((sum) => sum / (slots.length * cells.steps));
  const rows = slots[0] === null ? "" : `${slots.length} blocks and `;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${cells.steps} ${slots.length}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${label}, ${name}: ${cells.caption(share)} of ${rows}${cells.steps} steps`);
  svg.style.setProperty("--gap", height < 7 ? "0.4px" : "1.2px");
  svg.style.height = `${height * slots.length}px`;
  svg.append(...drawn.map((text, state) => path(cells.classes[state], text)));
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const step = Math.min(cells.steps - 1, Math.floor(((event.clientX - box.left) / box.width) * cells.steps));
    const row = Math.min(slots.length - 1, Math.floor(((event.clientY - box.top) / box.height) * slots.length));
    if (step < 0 || row < 0) return;
    const state = cells.names[cells.state(step, slots[row])];
    const where = rows ? `${layout.blocks[layout.slotBlock[slots[row]]]}.${name}` : name;
    readout.textContent = `Step ${step}, ${where}: ${state}`;
  });
  svg.addEventListener("pointerleave", () => { readout.textContent = ""; });
  return element(
    "figure",
    { class: "map" },
    element("figcaption", {}, name, element("span", {}, cells.caption(share))),
    element(
      "div",
      { class: "field" },
      element("div", { class: "rows", "aria-hidden": "true" }, rows ? element("span", {}, "0") : null, slots.length > 1 ? element("span", {}, `${slots.length - 1}`) : null),
      svg,
      element("div", { class: "columns", "aria-hidden": "true" }, element("span", {}, "0"), element("span", {}, "step"), element("span", {}, `${cells.steps - 1}`)),
    ),
  );
}
