// The study as the page reads it: columns of figures, and bits that are looked up one by one.

const data = JSON.parse(document.getElementById("data").textContent);
const layout = data.layout;
const columns = data.schedules;
const slotCount = layout.slotBlock.length;
const bytesEach = Math.ceil((data.steps * slotCount) / 8);
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
  return (packed[index * bytesEach + (bit >> 3)] >> (7 - (bit & 7))) & 1;
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
    confirmed: columns.confirmed[index] ?? null,
  };
}

/** Numbers of the schedules of a kind, in their order. */
function ofKind(kind) {
  const code = columns.kind.texts.indexOf(kind);
  return columns.kind.rows.flatMap((row, index) => (row === code ? [index] : []));
}

const front = ofKind("front");
const heuristics = ofKind("heuristic");

/** Slots of one component, from the first block to the last. */
const componentSlots = layout.components.map((_, component) =>
  layout.slotComponent.flatMap((own, slot) => (own === component ? [slot] : [])),
);

/** Share that a schedule computes of some components: in all, by step, and by block (null where it has none). */
function shares(index, components) {
  const step = new Array(data.steps).fill(0);
  const block = new Array(layout.blocks.length).fill(0);
  const slotsOfBlock = new Array(layout.blocks.length).fill(0);
  let all = 0;
  let slots = 0;
  for (const component of components) {
    for (const slot of componentSlots[component]) {
      slots += 1;
      slotsOfBlock[layout.slotBlock[slot]] += 1;
      for (let at = 0; at < data.steps; at += 1) {
        const bit = computes(index, at, slot);
        step[at] += bit;
        block[layout.slotBlock[slot]] += bit;
        all += bit;
      }
    }
  }
  return {
    all: all / (slots * data.steps),
    step: step.map((sum) => sum / slots),
    block: block.map((sum, at) => (slotsOfBlock[at] ? sum / (slotsOfBlock[at] * data.steps) : null)),
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
  const snippet = data.usage.snippet.split("{file}").join(JSON.stringify(file));
  return { command: fill(data.usage.export, { trial }), snippet };
}
