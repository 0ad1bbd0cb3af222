// What screen readers hear, and the short notes at the foot of the page.

import { byId } from "./dom.js";

const TOAST_MILLISECONDS = 6000;
let hiding = 0;

/** Says a sentence to screen readers without showing it. */
export function announce(sentence) {
  const live = byId("live");
  // The same sentence twice would not be read twice.
  live.textContent = "";
  requestAnimationFrame(() => {
    live.textContent = sentence;
  });
}

/** Shows a sentence for a while, with a button if there is something to do about it. */
export function toast(sentence, label = "", act = null) {
  const box = byId("toast");
  const button = box.querySelector("button");
  box.querySelector("span").textContent = sentence;
  button.hidden = act === null;
  button.textContent = label;
  button.onclick = () => {
    box.hidden = true;
    act?.();
  };
  box.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => {
    box.hidden = true;
  }, TOAST_MILLISECONDS);
}
