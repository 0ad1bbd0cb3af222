// The passages found for a question, and what each leg of the search thought of them.

import { element, fromTemplate, hasText, linesOf, placeOf, text } from "./dom.js";
import { readable, withoutHeading } from "./readable.js";

/** Fills the fold-out list of hits. */
export function showHits(details, { hits, answerable, took_ms: took }, open) {
  details.hidden = hits.length === 0;
  details.querySelector("summary").textContent = text("hits", { count: hits.length });
  const strongest = strongestSignals(hits);
  details.querySelector("p").textContent = [
    text("answerable", { percent: Math.round(answerable * 100) }),
    text("took", { milliseconds: Math.round(took.total) }),
  ].join("・");
  details.querySelector("ol").replaceChildren(...hits.map((hit) => hitItem(hit, strongest, open)));
}

function hitItem(hit, strongest, open) {
  const { root, slots } = fromTemplate("hit-template");
  slots.place.append(
    element("span", { className: "number" }, String(hit.rank)),
    element("span", {}, placeOf(hit.citation)),
    element("span", { className: "lines" }, linesOf(hit.citation)),
  );
  slots.place.addEventListener("click", () => open(hit.citation, slots.place));
  const passage = readable(withoutHeading(hit.text, hit.citation.headings));
  slots.text.textContent = passage.replace(/\n{2,}/g, "\n");
  for (const [leg, strength] of Object.entries(hit.signals)) {
    slots.signals.append(signalRow(leg, strength, strongest[leg]));
  }
  slots.signals.append(
    element("div", { className: "signal total" }, element("dt", {}, text("score", { score: "" })), element("dd", {}, hit.score.toFixed(3))),
  );
  return root;
}

// Each leg has a scale of its own, so a bar shows the share of that leg's best hit.
function signalRow(leg, strength, best) {
  const bar = element("span", { className: "bar-fill" });
  bar.style.setProperty("--share", best > 0 ? Math.max(strength / best, 0) : 0);
  const name = hasText(`signal_${leg}`) ? text(`signal_${leg}`) : leg;
  return element(
    "div",
    { className: "signal" },
    element("dt", {}, name),
    element("dd", {}, bar, element("span", {}, strength.toFixed(3))),
  );
}

function strongestSignals(hits) {
  const strongest = {};
  for (const { signals } of hits) {
    for (const [leg, strength] of Object.entries(signals)) {
      strongest[leg] = Math.max(strongest[leg] ?? -Infinity, strength);
    }
  }
  return strongest;
}
