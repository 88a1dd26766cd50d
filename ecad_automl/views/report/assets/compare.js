// Two schedules beside each other, and what tells them apart.

function optionText(index) {
  const schedule = scheduleAt(index);
  return schedule.kind === "front" ? `${schedule.label}, trial ${schedule.trial ?? "none"}` : `${schedule.label}, ${schedule.origin} (${schedule.title})`;
}

/** Fills a choice with the front and the heuristics, and with what else is chosen. */
function fillChoice(select, chosen) {
  const group = (label, indices) =>
    element("optgroup", { label }, ...indices.map((index) => element("option", { value: `${index}` }, optionText(index))));
  const groups = [group("Front", front)];
  if (heuristics.length) groups.push(group("Heuristics", heuristics));
  if (!front.includes(chosen) && !heuristics.includes(chosen)) groups.push(group("Evaluated", [chosen]));
  select.replaceChildren(...groups);
  select.value = `${chosen}`;
}

function showComparison(state) {
  fillChoice(byId("choice-a"), state.a);
  fillChoice(byId("choice-b"), state.b);
  const [a, b] = [scheduleAt(state.a), scheduleAt(state.b)];
  const table = element(
    "table",
    { class: "compare-figures" },
    element("caption", { class: "unseen" }, "Figures of A and B"),
    element("thead", {}, element("tr", {}, element("td"), columnHead(`A: ${a.title}`), columnHead(`B: ${b.title}`))),
    element("tbody", {}, ...comparisonRows(a, b, state.components)),
  );
  const side = (title, cells, label) =>
    element("div", {}, element("h3", { class: "minor" }, title), heatmaps(cells, state.components, { label }));
  byId("compare-body").replaceChildren(
    element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Figures of A and B" }, table),
    element(
      "div",
      { class: "beside" },
      side(`A: ${a.title}, ${a.label}`, scheduleCells(a.index), `A: ${a.title}`),
      side(`B: ${b.title}, ${b.label}`, scheduleCells(b.index), `B: ${b.title}`),
      side("What differs", differenceCells(a.index, b.index), "Difference of A and B"),
    ),
  );
}

function columnHead(text) {
  return element("th", { scope: "col" }, text);
}

function comparisonRows(a, b, components) {
  const figures = [figuresOf(a), figuresOf(b)];
  const rows = figures[0].flatMap(([label, text], at) =>
    text === null && figures[1][at][1] === null ? [] : [[label, text || "–", figures[1][at][1] || "–"]],
  );
  const computed = (schedule, chosen) => percent(shares(schedule.index, chosen).all);
  for (const component of components) {
    rows.push([`Computed of ${layout.components[component]}`, computed(a, [component]), computed(b, [component])]);
  }
  return rows.map(([label, ...texts]) =>
    element("tr", {}, element("th", { scope: "row" }, label), ...texts.map((text) => element("td", {}, text))),
  );
}
