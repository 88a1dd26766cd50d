// The chosen schedule: its figures, heatmaps, how to use it, and its images.

function kindText(schedule) {
  if (front.includes(schedule.index)) return view === views.all ? "on the front" : "on the front of the same number of steps";
  return {
    front: "on the front of all numbers of steps",
    heuristic: "published heuristic",
    evaluated: "not on the front",
    stopped: "stopped after part of the images; the reward is an estimate",
    infeasible: "breaks a constraint",
  }[schedule.kind];
}

function confirmedText(confirmed) {
  return confirmed === null ? null : interval(confirmed.difference, confirmed.half);
}

function survivalText(confirmed) {
  if (confirmed === null) return null;
  return confirmed.survives ? "yes" : `no, beaten by ${confirmed.beatenBy}`;
}

/** All figures of a schedule as [label, text, aside] rows. */
function figuresOf(schedule) {
  const { confirmed } = schedule;
  const latency = data.cost.name === "latency";
  return [
    ["Speedup", schedule.label, latency ? "by the time of the transformer" : "fewer MACs"],
    latency ? ["Time", `${plain(schedule.cost)} ms`, `of ${plain(data.cost.full)} per image`] : ["", null],
    ["GMACs per image", plain(schedule.gmacs), `of ${plain(data.cost.gmacs)}`],
    ["Reward", plain(schedule.reward), data.reward],
    ["Difference to uncached", interval(schedule.difference, schedule.half), "in the search"],
    ["Difference, confirmed", confirmedText(confirmed), data.confirmed && `on ${data.confirmed.prompts} unseen prompts`],
    ["Survives", survivalText(confirmed)],
    ["Stays on the front", confirmed?.share == null ? null : percent(confirmed.share), "of resampled prompt sets"],
    ["Steps", schedule.outline],
    ["Origin", schedule.origin],
    ["Operator", schedule.operator],
    ["Generation", schedule.generation === null ? null : `${schedule.generation}`],
  ];
}

function showDetails(state, actions) {
  const schedule = scheduleAt(state.selected);
  byId("details-title").textContent = `${schedule.title}: ${schedule.label}`;
  const body = byId("details-body");
  body.replaceChildren(
    element("p", { class: "hint" }, kindText(schedule)),
    figureList(figuresOf(schedule)),
    element(
      "div",
      { class: "actions" },
      element("button", { type: "button", onclick: () => actions.compare("a", schedule.index) }, "Compare as A"),
      element("button", { type: "button", onclick: () => actions.compare("b", schedule.index) }, "Compare as B"),
    ),
    element("h4", {}, "What each step does"),
    heatmaps(scheduleCells(schedule.index), state.components, { label: schedule.title }),
  );
  const usage = usageOf(schedule);
  if (usage) {
    body.append(
      element("h4", {}, "Export it"), command(usage.command, "command that exports the schedule"),
      element("h4", {}, "Apply it"), command(usage.snippet, "Python that applies the schedule"),
    );
  }
}

function showImages(state) {
  const schedule = scheduleAt(state.selected);
  const body = byId("images-body");
  if (data.images === null) {
    body.replaceChildren(
      element("p", { class: "hint" }, "This report was made without images. With this command it has some, uncached and under schedules of the front:"),
      command(data.usage.images, "command that makes a report with images"),
    );
    return;
  }
  const { prompts, source, uncached, schedules } = data.images;
  const known = Object.keys(schedules).map(Number);
  const distance = (index) => Math.abs(Math.log(columns.speedup[index] / schedule.speedup));
  const nearest = known.reduce((best, index) => (distance(index) < distance(best) ? index : best), known[0]);
  const shown = schedules[schedule.index] ? schedule : scheduleAt(nearest);
  const images = schedules[shown.index];
  const beside = `${shown.title}, ${shown.label}, beside the uncached run from the same noise; ${source}.`;
  const note = shown === schedule ? beside : `No images were made under ${schedule.title}; these are of the nearest that has some: ${beside}`;
  const gallery = element("div", { class: "gallery" });
  prompts.forEach((prompt, number) => {
    const pair = element("div", { class: "pair" }, element("span", {}, "uncached"), element("span", {}, images ? shown.label : ""));
    pair.append(picture(uncached[number], `Uncached: ${prompt}`));
    if (images) pair.append(picture(images[number], `${shown.title}: ${prompt}`));
    gallery.append(element("figure", {}, pair, element("figcaption", {}, prompt)));
  });
  body.replaceChildren(element("p", { class: "hint" }, note), gallery);
}

/** Small images are enlarged pixel by pixel, so that nothing is blurred that is not. */
function picture(source, text) {
  const image = element("img", { src: source, alt: text });
  image.addEventListener("load", () => image.classList.toggle("crisp", image.naturalWidth < 128));
  return image;
}
