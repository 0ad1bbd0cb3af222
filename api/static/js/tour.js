// The citations of one answer, one after another beside the chat.

import { byId, text } from "./dom.js";

const strip = byId("tour");
const place = strip.querySelector("span");
let citations = [];
let at = -1;

/** Calls `open(citation)` when the reader steps to the citation before or behind. */
export function startTour(open) {
  for (const button of strip.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      at = (at + Number(button.dataset.step) + citations.length) % citations.length;
      open(citations[at], citations);
    });
  }
}

/** Shows which of the answer's citations is open; a note opened otherwise has none. */
export function showTour(open, all) {
  citations = all;
  at = all.findIndex(({ url }) => url === open?.url);
  strip.hidden = at < 0 || all.length < 2;
  place.textContent = text("tour", { number: at + 1, count: all.length });
  markOpen(open?.url);
}

// In the answer, too, one sees which words are open.
function markOpen(url) {
  for (const button of document.querySelectorAll("#exchanges [data-url]")) {
    const isOpen = button.dataset.url === url;
    button.classList.toggle("open", isOpen);
    if (isOpen && button.matches(".cite")) button.scrollIntoView({ block: "nearest" });
  }
}
