// Small helpers to build the page. Texts of the study only ever become text nodes.

const byId = (id) => document.getElementById(id);

/** An element with attributes; children are elements or texts, and those that are null are left out. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A description list of [label, text, aside] rows; rows without a text are left out. */
function figureList(rows, className = "figures") {
  const list = element("dl", { class: className });
  for (const [label, text, aside] of rows) {
    if (text === null || text === "") continue;
    const small = aside ? element("span", { class: "aside" }, aside) : null;
    list.append(element("div", {}, element("dt", {}, label), element("dd", {}, text, small)));
  }
  return list;
}

function announce(text) {
  byId("announcer").textContent = text;
}

/** A text to copy, with its button. */
function command(text, label) {
  const code = element("pre", { tabindex: "0", role: "group", "aria-label": label }, element("code", {}, text));
  const button = element("button", { type: "button", "aria-label": `Copy: ${label}` }, "Copy");
  button.addEventListener("click", async () => {
    const copied = await copyText(text, code);
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    announce(copied ? `Copied: ${label}` : "The text is selected; press Ctrl+C to copy it.");
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return element("div", { class: "command" }, code, button);
}

/** Copies a text; where the browser does not allow that, selects it for the reader to copy. */
async function copyText(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(shown);
    return false;
  }
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
