// The [n] behind a statement: a button whose quote shows on hover and focus, and whose click opens the note.

import { byId, element, linesOf, placeOf, text } from "./dom.js";
import { readable } from "./readable.js";

const card = byId("quote-card");
const GAP = 8;
let hiding = 0;

/** A citation's button; `open(citation, button)` is called on a click. */
export function citationButton(citation, open) {
  const button = element("button", { type: "button", className: "cite" }, String(citation.number));
  const place = placeOf(citation);
  button.setAttribute("aria-label", text("citation_label", { number: citation.number, place }));
  showQuoteOf(button, citation, open);
  return button;
}

/** Lets a button show the citation's quote on hover and focus, and open its note on a click. */
export function showQuoteOf(button, citation, open) {
  button.dataset.url = citation.url;
  button.setAttribute("aria-describedby", "quote-card");
  button.addEventListener("mouseenter", () => show(button, citation));
  button.addEventListener("focus", () => show(button, citation));
  button.addEventListener("mouseleave", hideSoon);
  button.addEventListener("blur", hide);
  button.addEventListener("click", () => {
    hide();
    open(citation, button);
  });
}

/** A number whose citation is not checked yet, or was not given. */
export function pendingCitation(number) {
  return element("span", { className: "cite pending" }, String(number));
}

export function hide() {
  clearTimeout(hiding);
  card.hidden = true;
}

// The reader may move the pointer onto the card to read or select in it (WCAG 1.4.13).
card.addEventListener("mouseenter", () => clearTimeout(hiding));
card.addEventListener("mouseleave", hideSoon);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !card.hidden) {
    hide();
    event.stopImmediatePropagation();
  }
});
byId("scroller").addEventListener("scroll", hide, { passive: true });

function hideSoon() {
  clearTimeout(hiding);
  hiding = setTimeout(hide, 150);
}

function show(button, citation) {
  clearTimeout(hiding);
  card.querySelector(".quote-place").textContent = `${placeOf(citation)}（${linesOf(citation)}）`;
  card.querySelector("blockquote").textContent = readable(citation.quote);
  card.hidden = false;
  place(button.getBoundingClientRect());
}

function place(target) {
  const { width, height } = card.getBoundingClientRect();
  const left = Math.min(Math.max(GAP, target.left - 24), innerWidth - width - GAP);
  const below = target.bottom + GAP;
  const fits = below + height < innerHeight || target.top < height + GAP;
  card.style.left = `${Math.max(GAP, left)}px`;
  card.style.top = `${fits ? below : target.top - height - GAP}px`;
}
