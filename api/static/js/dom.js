// Small tools over the document: templates with named slots, and the page's sentences.

const pageData = JSON.parse(document.getElementById("page-data")?.textContent ?? "{}");

export const models = pageData.models ?? [];
const modelNames = pageData.model_names ?? {};
export const ready = pageData.ready ?? true;

export function byId(id) {
  return document.getElementById(id);
}

/** A sentence of the page, `{name}` filled in; an unknown one gives its key. */
export function text(key, values = {}) {
  const sentence = pageData.texts?.[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export function hasText(key) {
  return key in (pageData.texts ?? {});
}

/** How the page calls an answer model. */
export function modelName(model) {
  return modelNames[model] ?? model;
}

/** A copy of a template's element, and its `data-slot` elements by name. */
export function fromTemplate(id) {
  const root = byId(id).content.firstElementChild.cloneNode(true);
  const slots = {};
  for (const slot of root.querySelectorAll("[data-slot]")) slots[slot.dataset.slot] = slot;
  return { root, slots };
}

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Where a citation stands, in words: title › heading › heading. */
export function placeOf({ title, headings }) {
  const parts = [title, ...headings].filter(Boolean);
  return parts.filter((part, index) => part !== parts[index - 1]).join(" › ");
}

export function linesOf({ start_line: start, end_line: end }) {
  return start === end ? text("line", { start }) : text("lines", { start, end });
}
