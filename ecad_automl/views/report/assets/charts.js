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
  return data.cost.name === "latency" ? "speedup in time (higher is better)" : "speedup in MACs (higher is better)";
}

/** A chart of the study in the colors of the theme: names of colors begin with "@", and may end with an opacity. */
function themed(value) {
  if (typeof value === "string") return value.replace(/^@([a-z]+)([0-9a-f]{2})?$/, (_, name, opacity) => color(name) + (opacity ?? ""));
  if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(themed);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, own]) => [name, themed(own)]));
}

// ---- the front ----

/** Where a run stands. Speedups are on their logarithm, for a logarithmic axis of plotly takes no shapes in pixels. */
function frontX(axis) {
  return axis === "speedup" ? (run) => Math.log10(run.speedup) : (run) => run.cost;
}

/** The chart, with costs in place of speedups where these are asked for; schedules are known by their numbers. */
function frontTraces({ axis }) {
  const traces = themed(view.chart.data);
  if (axis === "speedup") return traces;
  return traces.map((trace) => ({ ...trace, x: trace.customdata?.map((index) => columns.cost[index]) ?? trace.meta.cost }));
}

/** Rings around the selected schedule, and the line of no difference. As shapes they are drawn anew without the rest. */
function frontShapes({ axis, selected }) {
  const { confirmed, difference } = scheduleAt(selected);
  const x = frontX(axis)(scheduleAt(selected));
  const ring = (y) => ({
    type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: x, yanchor: y, x0: -9, x1: 9, y0: -9, y1: 9,
    line: { width: 2, color: color("text") },
  });
  return [...themed(view.chart.layout.shapes), ring(difference), ...(confirmed ? [ring(confirmed.difference)] : [])];
}

function frontLayout(state, narrow) {
  const speedup = state.axis === "speedup";
  const { xaxis, yaxis } = view.chart.layout;
  const { title, ...ends } = xaxis;
  const costs = front.map((index) => columns.cost[index]);
  return layoutOf({
    xaxis: speedup
      ? axisStyle(title, ends)
      : axisStyle(`${data.cost.unit} (lower is better)`, { range: [Math.min(...costs) - 0.05 * data.cost.full, 1.03 * data.cost.full] }),
    yaxis: axisStyle(narrow ? "reward difference to uncached" : yaxis.title, { range: yaxis.range }),
    shapes: frontShapes(state),
    showlegend: true,
    legend: narrow
      ? { orientation: "h", x: 0, y: -0.22, yanchor: "top", font: { size: 11 } }
      : {
          x: speedup ? 0.01 : 0.99, xanchor: speedup ? "left" : "right", y: 0.01, yanchor: "bottom",
          bgcolor: color("ground"), bordercolor: color("line"), borderwidth: 1, font: { size: 11 },
        },
    dragmode: "zoom",
    uirevision: `${state.axis} ${view === views.all}`,
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
  const stretched = front.some((index) => columns.steps[index] !== data.steps) ? ", runs of fewer steps stretched" : "";
  drawShareMap("share-step", `denoising step${stretched}`, `Share of ${names} computed at each step`, own.map((each) => each.step));
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
  const { hypervolume, surrogate } = data.charts;
  drawChart("hypervolume", hypervolume);
  byId("surrogate-none").hidden = surrogate !== null;
  byId("surrogate").hidden = surrogate === null;
  if (surrogate === null) return;
  drawChart("surrogate", surrogate, {
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 } },
    margin: { l: 56, r: 12, t: 30, b: 44 },
  });
}

function drawChart(id, chart, extra = {}) {
  const { xaxis, yaxis, ...rest } = themed(chart.layout);
  const axis = ({ title, ...own }) => axisStyle(title, own);
  drawNamed(id, chart.told, themed(chart.data), { ...rest, xaxis: axis(xaxis), yaxis: axis(yaxis), ...extra });
}

function drawNamed(id, label, traces, extra) {
  const chart = byId(id);
  chart.setAttribute("aria-label", label);
  Plotly.react(chart, traces, layoutOf(extra), CONFIG);
}
