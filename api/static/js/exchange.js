// One question and its answer on the page, in every state it can be in.

import { copy, answerAsMarkdown } from "./markdown_export.js";
import { toast } from "./announce.js";
import { element, fromTemplate, linesOf, modelName, models, placeOf, text } from "./dom.js";
import { showQuoteOf } from "./citations.js";
import { startFeedback } from "./feedback.js";
import { showHits } from "./hits.js";
import { CONFIRMED_SUPPORT, showPartial, showStatements } from "./statements.js";

const NEAREST_HITS = 3;
const DRAW_MILLISECONDS = 50;
/** Below this probability that the notes hold the answer, its readers are told to look closely. */
const SURE_ANSWERABLE = 0.6;

/** `actions` = {openNote(citation, from, citations), again(exchange), alone(exchange), withoutTags(exchange), rephrase(exchange), save()}. */
export class ExchangeView {
  constructor(exchange, actions) {
    this.exchange = exchange;
    this.actions = actions;
    this.answerable = 1;
    const { root, slots } = fromTemplate("exchange-template");
    this.root = root;
    this.slots = slots;
    this.answerBox = root.querySelector(".answer");
    slots.question.textContent = exchange.question;
    slots.tags.hidden = exchange.tags.length === 0;
    slots.tags.append(...exchange.tags.map((tag) => element("li", {}, tag)));
  }

  /** Shows whatever the exchange holds: an answer, a failure, or the part that came. */
  show() {
    const { answer, failure, partial } = this.exchange;
    if (answer) this.showAnswer(answer);
    else if (failure) this.showFailure(failure, partial);
    else this.showStopped(partial);
  }

  showSearching() {
    this.answerBox.setAttribute("aria-busy", "true");
    this.slots.statements.replaceChildren();
    this.slots.after.replaceChildren();
    this.showNotice("");
    this.slots.unsure.hidden = true;
    this.showProgress(text("searching"));
  }

  showHitsFound({ hits, answerable, question, search_question: searched }) {
    this.exchange.followed = searched !== question;
    this.answerable = answerable;
    this.showProgress(text("writing", { count: hits.length }));
  }

  /** Shows what came so far, soon: an answer that is there at once is shown only as a whole. */
  showDelta(partial) {
    this.partial = partial;
    this.drawing ??= setTimeout(() => {
      this.drawing = null;
      this.showProgress("");
      this.slots.unsure.hidden = this.answerable >= SURE_ANSWERABLE;
      showPartial(this.slots.statements, this.partial);
    }, DRAW_MILLISECONDS);
  }

  showAnswer(answer) {
    this.settle();
    this.slots.unsure.hidden = answer.refused || answer.answerable >= SURE_ANSWERABLE;
    showStatements(this.slots.statements, answer, this.opener(answer));
    this.showNotice(this.noticeOf(answer));
    this.slots.after.replaceChildren(...(answer.refused ? [this.refusal(answer)] : []), this.afterAnswer(answer));
  }

  showStopped(partial) {
    this.settle();
    showPartial(this.slots.statements, partial ?? "");
    this.showNotice(text(partial ? "stopped" : "stopped_early"));
    this.slots.after.replaceChildren(this.retryBox("", ""));
  }

  showFailure({ message, detail }, partial) {
    this.settle();
    showPartial(this.slots.statements, partial ?? "");
    this.slots.statements.classList.toggle("unfinished", Boolean(partial));
    this.slots.after.replaceChildren(this.retryBox(message, detail));
  }

  settle() {
    clearTimeout(this.drawing);
    this.drawing = null;
    this.showProgress("");
    this.showNotice("");
    this.slots.statements.classList.remove("unfinished");
    this.answerBox.setAttribute("aria-busy", "false");
  }

  showProgress(sentence) {
    this.slots.progress.textContent = sentence;
    this.slots.progress.hidden = sentence === "";
  }

  showNotice(sentence) {
    this.slots.notice.textContent = sentence;
    this.slots.notice.hidden = sentence === "";
  }

  noticeOf(answer) {
    const doubtful = answer.statements.some(({ support }) => support < CONFIRMED_SUPPORT);
    return [answer.notice ?? "", doubtful ? text("unconfirmed_notice") : ""].join("");
  }

  /** Opens a citation of the answer; the reader then leads through all of them. */
  opener(answer) {
    return (citation, from) => this.actions.openNote(citation, from, answer.citations);
  }

  afterAnswer(answer) {
    const { root, slots } = fromTemplate("after-answer-template");
    slots.followed.hidden = !this.exchange.followed;
    slots.followed.querySelector("button").addEventListener("click", () => this.actions.alone(this.exchange));
    slots.model.textContent = models.length > 1 ? modelName(answer.model) : "";
    slots.sources.hidden = answer.citations.length === 0;
    slots.sources.querySelector("ol").append(...answer.citations.map((citation) => this.sourceItem(citation, this.opener(answer))));
    root.querySelector("[data-action=copy]").addEventListener("click", async () => {
      toast(text((await copy(answerAsMarkdown(answer))) ? "copied" : "copy_failed"));
    });
    root.querySelector("[data-action=again]").addEventListener("click", () => this.actions.again(this.exchange));
    startFeedback(root, slots.comment, this.exchange, this.actions.save);
    showHits(slots.hits, answer, this.actions.openNote);
    return root;
  }

  sourceItem(citation, open = this.actions.openNote) {
    const { root, slots } = fromTemplate("source-template");
    slots.number.textContent = citation.number;
    slots.place.textContent = placeOf(citation);
    slots.lines.textContent = linesOf(citation);
    const button = root.querySelector("button");
    showQuoteOf(button, citation, open);
    return root;
  }

  refusal(answer) {
    const { root, slots } = fromTemplate("refused-template");
    const { tags } = this.exchange;
    slots.advice.textContent =
      (tags.length ? text("advice_tags", { tags: tags.join("・") }) : "") + text("advice");
    const retry = root.querySelector("[data-action=without-tags]");
    retry.hidden = tags.length === 0;
    retry.addEventListener("click", () => this.actions.withoutTags(this.exchange));
    root.querySelector("[data-action=rephrase]").addEventListener("click", () => this.actions.rephrase(this.exchange));
    const nearest = answer.hits.slice(0, NEAREST_HITS);
    slots.nearest.hidden = nearest.length === 0;
    slots.nearest.querySelector("ol").append(...nearest.map((hit) => this.sourceItem(hit.citation)));
    return root;
  }

  retryBox(message, detail) {
    const { root, slots } = fromTemplate("failure-template");
    slots.message.textContent = message;
    slots.message.hidden = message === "";
    slots.detail.textContent = detail;
    slots.detail.hidden = !detail;
    root.classList.toggle("plain", message === "");
    root.querySelector("[data-action=again]").addEventListener("click", () => this.actions.again(this.exchange));
    return root;
  }
}
