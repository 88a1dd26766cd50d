// The study as the page reads it: columns of figures, and bits that are looked up one by one.

const data = JSON.parse(document.getElementById("data").textContent);
const layout = data.layout;
const columns = data.schedules;
const slotCount = layout.slotBlock.length;
// Where the bits of each schedule begin: those of fewer steps are fewer.
const begins = [];
columns.steps.reduce((begin, steps) => {
  begins.push(begin);
  return begin + Math.ceil((steps * slotCount) / 8);
}, 0);
const packed = unpackBase64(columns.bits);
const count = columns.trial.length;

function unpackBase64(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
  return bytes;
}

/** Whether a schedule computes a slot at a step; else it reuses the cached output. */
function computes(index, step, slot) {
  const bit = step * slotCount + slot;
  return (packed[begins[index] + (bit >> 3)] >> (7 - (bit & 7))) & 1;
}

/** What a schedule does with a slot at a step: 0 reused, 1 to 3 forecast at that level, 4 computed, 5 skipped. */
function action(index, step, slot) {
  const more = columns.more[index];
  if (more !== null && more.skip.includes(step)) return 5;
  if (computes(index, step, slot)) return 4;
  if (more === null) return 0;
  let outputs = 0;
  for (let before = 0; before < step; before += 1) outputs += computes(index, before, slot);
  const column = layout.slotComponent[slot];
  return outputs < 2 ? 0 : Number(more.damping[step * (layout.components.length + 1) + column]);
}

/** The same of the guidance branch without the prompt: 0 made of the last difference, to 4 computed; 6 left out. */
function guidanceAction(index, step) {
  const { skip, guidance } = columns.more[index];
  if (skip.includes(step)) return 5;
  const told = Number(guidance[step]);
  if (told === 0) return 4;
  return told > 4 ? 6 : told - 1;
}

/** The step of a schedule that stands at the same share of its run as a step of a run of so many. */
function stepAt(index, step, steps) {
  return Math.min(columns.steps[index] - 1, Math.floor(((step + 0.5) * columns.steps[index]) / steps));
}

function coded(column, index) {
  return column.texts[column.rows[index]];
}

/** All figures of one schedule. */
function scheduleAt(index) {
  const trial = columns.trial[index];
  const origin = coded(columns.origin, index);
  return {
    index,
    trial,
    origin,
    title: trial === null ? origin : `Trial ${trial}`,
    kind: coded(columns.kind, index),
    label: `${columns.label[index]}x`,
    speedup: columns.speedup[index],
    cost: columns.cost[index],
    gmacs: columns.gmacs[index],
    reward: columns.reward[index],
    difference: columns.difference[index],
    half: columns.half[index],
    operator: coded(columns.operator, index),
    generation: columns.generation[index],
    outline: coded(columns.outline, index),
    confirmed: view.confirmed[index] ?? null,
  };
}

/** Numbers of the schedules of a kind, in their order. */
function ofKind(kind) {
  const code = columns.kind.texts.indexOf(kind);
  return columns.kind.rows.flatMap((row, index) => (row === code ? [index] : []));
}

/** All runs, and those of the study's own number of steps as if there were no others; null where there are none. */
const views = {
  all: {
    front: ofKind("front"), heuristics: ofKind("heuristic"), runs: data.runs, confirmed: columns.confirmed,
    chart: data.charts.front,
  },
  same: data.sameSteps,
};
let view = views.all;
let { front, heuristics } = view;

function showView(chosen) {
  view = chosen;
  ({ front, heuristics } = view);
}

/** Slots of one component, from the first block to the last. */
const componentSlots = layout.components.map((_, component) =>
  layout.slotComponent.flatMap((own, slot) => (own === component ? [slot] : [])),
);

/**
 * Share that a schedule computes of some components: in all, by step (stretched to the steps of the study), and by block
 * (null where it has none).
 */
function shares(index, components) {
  const steps = columns.steps[index];
  const own = new Array(steps).fill(0);
  const block = new Array(layout.blocks.length).fill(0);
  const slotsOfBlock = new Array(layout.blocks.length).fill(0);
  let all = 0;
  let slots = 0;
  for (const component of components) {
    for (const slot of componentSlots[component]) {
      slots += 1;
      slotsOfBlock[layout.slotBlock[slot]] += 1;
      for (let at = 0; at < steps; at += 1) {
        const bit = computes(index, at, slot);
        own[at] += bit;
        block[layout.slotBlock[slot]] += bit;
        all += bit;
      }
    }
  }
  return {
    all: all / (slots * steps),
    step: Array.from({ length: data.steps }, (_, step) => own[stepAt(index, step, data.steps)] / slots),
    block: block.map((sum, at) => (slotsOfBlock[at] ? sum / (slotsOfBlock[at] * steps) : null)),
  };
}

/** What to compare it with: the heuristic of the nearest speedup, else its neighbor on the front. */
function firstRival(index) {
  const others = (heuristics.length ? heuristics : front).filter((other) => other !== index);
  const distance = (other) => Math.abs(Math.log(columns.speedup[other] / columns.speedup[index]));
  return others.length ? others.reduce((best, other) => (distance(other) < distance(best) ? other : best)) : index;
}

function signed(value) {
  const digits = Math.abs(value) >= 100 ? 1 : 4;
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}

/** Such as "−0.0123 ± 0.0040". */
function interval(value, half) {
  if (value === null) return "not measured";
  return half === null ? signed(value) : `${signed(value)} ± ${half.toFixed(Math.abs(value) >= 100 ? 1 : 4)}`;
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

function plain(value) {
  return Number(value.toPrecision(4)).toString().replace("-", "−");
}

/** Exports of a schedule, as texts to copy; null for one that has no trial yet. */
function usageOf(schedule) {
  if (schedule.trial === null) return null;
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  const trial = schedule.trial;
  const file = fill(data.usage.file, { trial, speedup: columns.label[schedule.index] });
  const steps = `${columns.steps[schedule.index]}`;
  const snippet = data.usage.snippet.split("{file}").join(JSON.stringify(file)).split("{steps}").join(steps);
  return { command: fill(data.usage.export, { trial }), snippet };
}
