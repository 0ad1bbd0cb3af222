// Search within a note on the page, and jumps to its lines.

import { text } from "./dom.js";

/** Wires the search field and the contents list of a note that was put on the page. */
export function startNoteTools(note) {
  const body = note.querySelector(".note-body");
  const form = note.querySelector(".note-search");
  const field = form.querySelector("input");
  const count = form.querySelector("output");
  let ranges = [];
  let current = -1;

  function step(by) {
    if (ranges.length === 0) return;
    current = (current + by + ranges.length) % ranges.length;
    highlight("found-current", [ranges[current]]);
    showRange(ranges[current]);
    count.textContent = text("found_count", { current: current + 1, count: ranges.length });
  }

  field.addEventListener("input", () => {
    ranges = findRanges(body, field.value);
    current = -1;
    highlight("found", ranges);
    highlight("found-current", []);
    count.textContent = field.value && ranges.length === 0 ? text("found_none") : "";
    step(1);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    step(event.shiftKey ? -1 : 1);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of form.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  note.querySelector(".contents")?.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-line]");
    if (!link) return;
    event.preventDefault();
    scrollToLine(body, Number(link.dataset.line));
  });
}

/** Scrolls to the block that starts on that line, or the last one before it. */
export function scrollToLine(body, line) {
  let best = null;
  for (const block of body.querySelectorAll("[data-line]")) {
    if (Number(block.dataset.line) <= line) best = block;
  }
  if (!best) return;
  scrollTo(best, 0);
  best.tabIndex = -1;
  best.focus({ preventScroll: true });
}

/** Scrolls to the highlighted span; false if the note has none. */
export function scrollToMark(note) {
  const mark = note.querySelector(".note-body mark");
  if (!mark) return false;
  scrollTo(mark, 0.3);
  mark.tabIndex = -1;
  mark.focus({ preventScroll: true });
  return true;
}

function showRange(range) {
  scrollTo(range, 0.3);
}

// scrollIntoView would also move the page around the panel.
function scrollTo(target, share) {
  const element = target instanceof Range ? target.startContainer.parentElement : target;
  const panel = element.closest(".reader-body") ?? document.documentElement;
  const note = element.closest(".note");
  const tools = note.querySelector(".note-tools").offsetHeight;
  const above = panel === document.documentElement ? 0 : panel.getBoundingClientRect().top;
  const free = panel.clientHeight - tools;
  panel.scrollTop += target.getBoundingClientRect().top - above - tools - 12 - free * share;
}

function highlight(name, ranges) {
  if ("highlights" in CSS) CSS.highlights.set(name, new Highlight(...ranges));
}

/** Every place where the words stand, also where they run across bold or marked pieces. */
export function findRanges(body, words) {
  const wanted = fold(words.trim());
  if (!wanted) return [];
  const pieces = [];
  let whole = "";
  const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    pieces.push({ node: walker.currentNode, start: whole.length });
    whole += fold(walker.currentNode.data);
  }
  const ranges = [];
  for (let at = whole.indexOf(wanted); at >= 0; at = whole.indexOf(wanted, at + wanted.length)) {
    const range = new Range();
    range.setStart(...position(pieces, at));
    range.setEnd(...position(pieces, at + wanted.length - 1, 1));
    ranges.push(range);
  }
  return ranges;
}

function position(pieces, at, after = 0) {
  const piece = pieces.findLast(({ start }) => start <= at);
  return [piece.node, at - piece.start + after];
}

// Case and full width do not matter, but every character must stay one, or the ranges would slip.
function fold(words) {
  return Array.from(words, (char) => {
    const folded = char.normalize("NFKC").toLowerCase();
    return folded.length === char.length ? folded : char;
  }).join("");
}
