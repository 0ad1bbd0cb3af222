// The question field: what is typed, filtered and chosen there → a question to send.

import { byId, text } from "./dom.js";

const field = byId("question");
const sendButton = byId("send");
const stopButton = byId("stop");
const touch = matchMedia("(pointer: coarse)");

/** Calls `onSend(question)` when the reader sends, and `onStop()` when they stop an answer. */
export function startComposer({ onSend, onStop }) {
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !isConversion(event)) {
      event.preventDefault();
      submit(onSend);
    }
  });
  field.addEventListener("input", grow);
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit(onSend);
  });
  stopButton.addEventListener("click", onStop);
  startTags();
}

// Enter that confirms a kana-kanji conversion belongs to the input method. Chromium and Firefox say
// so with isComposing; Safari ends the composition before the keydown and leaves only keyCode 229.
function isConversion(event) {
  return event.isComposing || event.keyCode === 229;
}

function submit(onSend) {
  const question = field.value.trim();
  if (!question || isBusy()) return;
  field.value = "";
  grow();
  // The keyboard of a phone would cover the answer.
  if (touch.matches) field.blur();
  onSend(question);
}

// Tags folded away still count: the fold says how many of them are chosen.
function startTags() {
  const fold = byId("more-tags");
  if (!fold) return;
  byId("filters").addEventListener("change", showFoldedCount);
  document.addEventListener("click", (event) => {
    if (!fold.contains(event.target)) fold.open = false;
  });
  fold.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !fold.open) return;
    event.stopPropagation();
    fold.open = false;
    fold.querySelector("summary").focus();
  });
}

function showFoldedCount() {
  const fold = byId("more-tags");
  if (!fold) return;
  const count = fold.querySelectorAll("input:checked").length;
  byId("more-tags-count").textContent = count ? text("chosen", { count }) : "";
}

function grow() {
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

export function isBusy() {
  return !stopButton.hidden;
}

/** While an answer is coming the send button is a stop button. */
export function setBusy(busy) {
  const hadFocus = document.activeElement === sendButton || document.activeElement === stopButton;
  sendButton.hidden = busy;
  stopButton.hidden = !busy;
  if (hadFocus) (busy ? stopButton : field).focus();
}

/** Focuses the field; on a phone `instead`, for the keyboard would cover the page. */
export function focusField(instead = null) {
  if (!touch.matches) field.focus();
  else instead?.focus({ preventScroll: true });
}

/** Puts a question into the field, to be changed and sent. */
export function fillField(question) {
  field.value = question;
  grow();
  field.focus();
}

export function chosenTags() {
  return [...document.querySelectorAll("#filters input:checked")].map((box) => box.value);
}

export function clearTags() {
  for (const box of document.querySelectorAll("#filters input:checked")) box.checked = false;
  showFoldedCount();
}

/** The chosen answer model; null where there is nothing to choose. */
export function chosenModel() {
  return byId("model")?.value ?? null;
}
