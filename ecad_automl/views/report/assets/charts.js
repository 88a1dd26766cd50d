// Charts, drawn by plotly.js. Each takes its colors from the style sheet, so that a change of theme draws it again.

const CONFIG = { displayModeBar: false, responsive: true, showTips: false };
const SERIES = ["blue", "orange", "green", "purple", "vermillion", "quiet"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x"];
const SPEEDUP_TICKS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50];
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

/** Texts of the study as plotly shows them as they are. */
function literal(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function axisStyle(title, extra = {}) {
  return {
    title: { text: title, standoff: 8, font: { size: 12, color: color("quiet") } },
    gridcolor: color("grid"),
    linecolor: color("line"),
    zeroline: false,
    tickfont: { size: 11, color: color("quiet") },
    automargin: true,
    ...extra,
  };
}

function layoutOf(extra) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: FONT, size: 12, color: color("text") },
    margin: { l: 56, r: 12, t: 12, b: 44 },
    hoverlabel: { bgcolor: color("raised"), bordercolor: color("line"), font: { color: color("text"), family: FONT } },
    showlegend: false,
    hovermode: "closest",
    ...extra,
  };
}

function speedupTitle() {
  return data.cost.name === "latency" ? "speedup in time (×, higher is better)" : "speedup in MACs (×, higher is better)";
}

// ---- the front ----

/** Where a run stands. Speedups are on their logarithm, for a logarithmic axis of plotly takes no shapes in pixels. */
function frontX(axis) {
  return axis === "speedup" ? (run) => Math.log10(run.speedup) : (run) => run.cost;
}

function scheduleX(axis, indices) {
  return indices.map((index) => frontX(axis)({ speedup: columns.speedup[index], cost: columns.cost[index] }));
}

/** A trace of schedules; a pointer on it shows the card of the page. */
function scheduleTrace(axis, indices, extra, confirmed = false) {
  return {
    type: "scatter",
    mode: "markers",
    x: scheduleX(axis, indices),
    y: indices.map((index) => (confirmed ? columns.confirmed[index].difference : columns.difference[index])),
    customdata: indices,
    hoverinfo: "none",
    ...extra,
  };
}

/** Fainter than their points, for there are many. */
function bars(values, tint) {
  return { type: "data", array: values.map((value) => value ?? 0), color: `${tint}80`, thickness: 1, width: 2 };
}

function frontTraces(state) {
  const { axis } = state;
  const confirmed = front.filter((index) => columns.confirmed[index]);
  const searched = confirmed.length > 0;
  const traces = [
    scheduleTrace(axis, [...ofKind("evaluated"), ...ofKind("infeasible")], {
      name: "evaluated", marker: { color: color("cloud"), size: 5 },
    }),
    scheduleTrace(axis, ofKind("stopped"), {
      name: "stopped early (estimate)", marker: { color: color("cloud"), size: 5, symbol: "circle-open" },
    }),
    stepsTrace(axis),
    heuristicTrace(axis),
    scheduleTrace(axis, front, {
      name: searched ? "front, in the search" : "front",
      mode: "lines+markers",
      line: { color: color("blue"), width: searched ? 1 : 1.8, dash: searched ? "dot" : "solid" },
      marker: { color: color("blue"), size: searched ? 6 : 8, symbol: searched ? "circle-open" : "circle" },
      ...(searched ? {} : { error_y: bars(front.map((index) => columns.half[index]), color("blue")) }),
    }),
  ];
  for (const [survives, name, tint, symbol] of [
    [true, "front, on unseen prompts", "blue", "circle"],
    [false, "beaten on unseen prompts", "vermillion", "x"],
  ]) {
    const own = confirmed.filter((index) => columns.confirmed[index].survives === survives);
    if (!own.length) continue;
    traces.push(
      scheduleTrace(axis, own, {
        name,
        marker: { color: color(tint), size: 8, symbol },
        error_y: bars(own.map((index) => columns.confirmed[index].half), color(tint)),
      }, true),
    );
  }
  traces.push({
    type: "scatter", mode: "markers", name: "uncached", x: [frontX(axis)({ speedup: 1, cost: data.cost.full })], y: [0],
    marker: { symbol: "star", size: 14, color: color("text") }, hovertemplate: "uncached<extra></extra>",
  });
  return traces.filter((trace) => trace.x.length);
}

function stepsTrace(axis) {
  const of = (run) => run.confirmed ?? run;
  const runs = data.runs.filter((run) => of(run).difference !== null);
  return {
    type: "scatter",
    mode: "lines+markers",
    name: data.confirmed ? "fewer steps, on unseen prompts" : "fewer steps, uncached",
    x: runs.map(frontX(axis)),
    y: runs.map((run) => of(run).difference),
    text: runs.map((run) => literal(`${run.name}: ${interval(of(run).difference, of(run).half)}`)),
    hovertemplate: "%{text}<extra></extra>",
    line: { color: color("green"), width: 1.2, dash: "dash" },
    marker: { color: color("green"), size: 7, symbol: "square" },
    error_y: { ...bars(runs.map((run) => of(run).half), color("green")), visible: Boolean(data.confirmed) },
  };
}

/** Where the front was confirmed, these are too, and are shown as they came out there. */
function heuristicTrace(axis) {
  const value = (index) => (columns.confirmed[index] ?? { difference: columns.difference[index] }).difference;
  return {
    ...scheduleTrace(axis, heuristics, {}),
    y: heuristics.map(value),
    name: data.confirmed ? "heuristics, on unseen prompts" : "heuristics",
    mode: "markers+text",
    text: heuristics.map((index) => literal(coded(columns.origin, index))),
    textposition: "middle left",
    textfont: { size: 11, color: color("orange") },
    marker: { color: color("orange"), size: 9, symbol: "triangle-up" },
  };
}

/** Rings around the selected schedule, and the line of no difference. As shapes they are drawn anew without the rest. */
function frontShapes({ axis, selected }) {
  const { confirmed, difference } = scheduleAt(selected);
  const x = frontX(axis)(scheduleAt(selected));
  const ring = (y) => ({
    type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: x, yanchor: y, x0: -9, x1: 9, y0: -9, y1: 9,
    line: { width: 2, color: color("text") },
  });
  const level = {
    type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, layer: "below",
    line: { color: color("quiet"), width: 1, dash: "dot" },
  };
  return [level, ring(difference), ...(confirmed ? [ring(confirmed.difference)] : [])];
}

/** What matters: from a little below the front at five times the speed, as in the pictures of `plot`. */
function frontRange() {
  const cheapest = Math.min(...front.map((index) => columns.cost[index]));
  const least = Math.max(data.cost.full / 5, 1.2 * cheapest);
  const dear = front.filter((index) => columns.cost[index] >= least);
  const shown = dear.length ? dear : front;
  const ends = (index) => {
    const { confirmed, difference, half } = scheduleAt(index);
    const all = [[difference, confirmed ? 0 : (half ?? 0)], ...(confirmed ? [[confirmed.difference, confirmed.half]] : [])];
    return { low: Math.min(...all.map(([value]) => value)), high: Math.max(...all.map(([value, half_]) => value + half_)) };
  };
  const lowest = Math.min(0, ...shown.map((index) => ends(index).low));
  const highest = Math.max(0, ...shown.map((index) => ends(index).high));
  const span = Math.max(highest - lowest, 1e-9);
  return [lowest - 0.6 * span, highest + 0.12 * span];
}

function frontLayout(state, narrow) {
  const { axis } = state;
  const x = scheduleX(axis, front);
  const [low, high] = [Math.min(...x), Math.max(...x)];
  const speedup = axis === "speedup";
  const xaxis = speedup
    ? axisStyle(speedupTitle(), {
        tickvals: SPEEDUP_TICKS.map(Math.log10), ticktext: SPEEDUP_TICKS.map((tick) => `${tick}×`),
        range: [Math.min(low, 0) - 0.02, Math.max(high, 0.02) + 0.02],
      })
    : axisStyle(`${data.cost.unit} (lower is better)`, { range: [low - 0.05 * data.cost.full, 1.03 * data.cost.full] });
  return layoutOf({
    xaxis,
    yaxis: axisStyle(narrow ? "reward difference to uncached" : `reward difference to uncached: ${literal(data.reward)} (higher is better)`, { range: frontRange() }),
    shapes: frontShapes(state),
    showlegend: true,
    legend: narrow
      ? { orientation: "h", x: 0, y: -0.22, yanchor: "top", font: { size: 11 } }
      : {
          x: speedup ? 0.01 : 0.99, xanchor: speedup ? "left" : "right", y: 0.01, yanchor: "bottom",
          bgcolor: color("ground"), bordercolor: color("line"), borderwidth: 1, font: { size: 11 },
        },
    dragmode: "zoom",
    uirevision: axis,
  });
}

function drawFront(state) {
  const chart = byId("front-chart");
  return Plotly.react(chart, frontTraces(state), frontLayout(state, chart.clientWidth < 560), CONFIG);
}

// ---- where the front computes ----

function drawShares(state) {
  const { components } = state;
  const own = front.map((index) => shares(index, components));
  const x = front.map((index) => columns.speedup[index]);
  const traces = components.map((component) => ({
    type: "scatter",
    mode: "lines+markers",
    name: literal(layout.components[component]),
    x,
    y: front.map((index) => shares(index, [component]).all),
    line: { color: color(SERIES[component % SERIES.length]), width: 1.5 },
    marker: { symbol: SYMBOLS[component % SYMBOLS.length], size: 6 },
    hovertemplate: "%{x:.2f}×: %{y:.0%}<extra>%{fullData.name}</extra>",
  }));
  const ticks = SPEEDUP_TICKS.filter((tick) => tick <= Math.max(...x) * 1.05);
  const names = components.map((component) => layout.components[component]).join(", ");
  drawNamed("share-component", `Share computed over speedup, by component: ${names}`, traces, {
    xaxis: axisStyle(speedupTitle(), { type: "log", tickvals: ticks, ticktext: ticks.map((tick) => `${tick}×`) }),
    yaxis: axisStyle("share computed", { tickformat: ".0%", range: [0, 1.03] }),
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 } },
    margin: { l: 56, r: 12, t: 30, b: 44 },
  });
  drawShareMap("share-step", "denoising step", `Share of ${names} computed at each step`, own.map((each) => each.step));
  drawShareMap("share-depth", "block, from the input to the output", `Share of ${names} computed in each block`, own.map((each) => each.block));
}

/** Rows are the schedules of the front, the cheapest on top. */
function drawShareMap(id, title, label, z) {
  const every = Math.max(1, Math.ceil(front.length / 10));
  const shown = front.map((_, row) => row).filter((row) => row % every === 0);
  const trace = {
    type: "heatmap",
    z,
    zmin: 0,
    zmax: 1,
    colorscale: [[0, color("scale-low")], [1, color("scale-high")]],
    customdata: z.map((row, at) => row.map(() => front[at])),
    text: front.map((index, at) => z[at].map(() => `${columns.label[index]}×`)),
    hovertemplate: "%{text}, %{x}: %{z:.0%}<extra></extra>",
    xgap: 1,
    ygap: front.length > 80 ? 0 : 1,
    colorbar: { thickness: 8, outlinewidth: 0, tickformat: ".0%", tickfont: { size: 10, color: color("quiet") }, tickvals: [0, 0.5, 1] },
  };
  drawNamed(id, label, [trace], {
    xaxis: axisStyle(title, { showgrid: false, dtick: z[0].length > 12 ? 5 : 1 }),
    yaxis: axisStyle("speedup of the schedule", {
      showgrid: false, autorange: "reversed", tickvals: shown, ticktext: shown.map((row) => `${columns.label[front[row]]}×`),
    }),
  });
}

/** Marks the selected schedule in the charts of the front. */
function markSelected(state) {
  const { selected } = state;
  Plotly.relayout(byId("front-chart"), { shapes: frontShapes(state) });
  const row = front.indexOf(selected);
  const line = { color: color("text"), width: 1.5 };
  const box = row < 0 ? [] : [{ type: "rect", xref: "paper", x0: 0, x1: 1, y0: row - 0.5, y1: row + 0.5, line }];
  Plotly.relayout(byId("share-step"), { shapes: box });
  Plotly.relayout(byId("share-depth"), { shapes: box });
  const at = columns.speedup[selected];
  Plotly.relayout(byId("share-component"), {
    shapes: [{ type: "line", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line: { ...line, width: 1, dash: "dot" } }],
  });
}

// ---- how the search went ----

function drawSearch() {
  const volume = data.hypervolume;
  drawNamed("hypervolume", `Hypervolume over ${volume.length} evaluations, ${plain(volume.at(-1))} at the end`, [{
    type: "scatter", mode: "lines", x: volume.map((_, at) => at + 1), y: volume, line: { color: color("blue"), width: 1.8, shape: "hv" },
    hovertemplate: "%{x} evaluated: %{y:.4f}<extra></extra>",
  }], {
    xaxis: axisStyle("evaluated schedules"),
    yaxis: axisStyle("normalized hypervolume (higher is better)", { range: volumeRange(volume) }),
  });
  const judged = data.generations.filter((each) => each.rankCorrelation !== null || each.coverage !== null);
  byId("surrogate-none").hidden = judged.length > 0;
  byId("surrogate").hidden = judged.length === 0;
  if (!judged.length) return;
  const all = data.generations;
  const trace = (name, tint, symbol, dash, values) => ({
    type: "scatter", mode: "lines+markers", name, x: all.map((each) => each.generation), y: values,
    line: { color: color(tint), width: 1.5, dash },
    marker: { size: 7, symbol: all.map((each) => (each.used ? symbol : `${symbol}-open`)) },
    hovertemplate: `generation %{x}: %{y:.2f}<extra>${name}</extra>`,
  });
  const last = judged.at(-1);
  const told = (value) => (value === null ? "not known" : value.toFixed(2));
  drawNamed("surrogate", `Surrogate over generations; at the end rank correlation ${told(last.rankCorrelation)}, coverage ${told(last.coverage)}`, [
    trace("rank correlation at equal cost", "blue", "circle", "solid", all.map((each) => each.rankCorrelation)),
    trace("coverage of 90 % intervals", "orange", "square", "dash", all.map((each) => each.coverage)),
  ], {
    xaxis: axisStyle("generation", { rangemode: "tozero" }),
    yaxis: axisStyle("correlation; share of rewards", { range: [Math.min(0, ...judged.map((each) => each.rankCorrelation ?? 0)), 1.04] }),
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.9, y1: 0.9, layer: "below", line: { color: color("orange"), width: 1, dash: "dot" } }],
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 } },
    margin: { l: 56, r: 12, t: 30, b: 44 },
  });
}

/** The first evaluations say nothing yet, and would hide what follows. */
function volumeRange(volume) {
  const late = volume.slice(Math.min(volume.length - 1, Math.max(2, Math.floor(volume.length / 20))));
  const [low, high] = [late[0], late.at(-1)];
  const room = Math.max(0.1 * (high - low), 0.005);
  return [Math.max(0, low - room), high + room];
}

function drawNamed(id, label, traces, extra) {
  const chart = byId(id);
  chart.setAttribute("aria-label", label);
  Plotly.react(chart, traces, layoutOf(extra), CONFIG);
}
