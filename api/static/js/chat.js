// A conversation: questions sent, answers shown and kept.

import { announce, toast } from "./announce.js";
import { ask, ServiceError } from "./api.js";
import { chosenModel, chosenTags, clearTags, fillField, focusField, setBusy } from "./composer.js";
import { check } from "./connection.js";
import { byId, text } from "./dom.js";
import { ExchangeView } from "./exchange.js";
import { readable } from "./readable.js";
import { openNote } from "./reader.js";
import { findConversation, newId, saveConversation, startConversation } from "./store.js";

const MAX_HISTORY = 6;
const list = byId("exchanges");
const scroller = byId("scroller");
let conversation = null;
let views = [];
let running = null;

export function currentConversation() {
  return conversation;
}

/** Shows a kept conversation, or the first page if there is none of that id. */
export function openConversation(id) {
  stop();
  conversation = findConversation(id);
  views = (conversation?.exchanges ?? []).map((exchange) => new ExchangeView(exchange, actions));
  for (const view of views) view.show();
  list.replaceChildren(...views.map(({ root }) => root));
  showTitle();
  history.replaceState(null, "", conversation ? `#${conversation.id}` : location.pathname);
  scroller.scrollTop = scroller.scrollHeight;
  if (!conversation) scroller.scrollTop = 0;
}

export function showTitle() {
  const title = conversation?.title ?? text("new_conversation");
  byId("conversation-title").textContent = title;
  byId("welcome").hidden = conversation !== null;
  byId("export").hidden = conversation === null;
  document.title = conversation ? `${title} — Kotae` : "Kotae";
}

/** Asks a new question at the end of the conversation. */
export async function send(question) {
  stop();
  conversation ??= startConversation(question);
  const exchange = { id: newId(), question, tags: chosenTags(), model: chosenModel() };
  conversation.exchanges.push(exchange);
  const view = new ExchangeView(exchange, actions);
  views.push(view);
  list.append(view.root);
  showTitle();
  save();
  history.replaceState(null, "", `#${conversation.id}`);
  await answer(view);
}

export function stop() {
  running?.abort();
}

const actions = {
  openNote,
  again: askAgain,
  alone: (exchange) => askAgain({ ...exchange, alone: true }),
  withoutTags: (exchange) => {
    clearTags();
    askAgain({ ...exchange, tags: [] });
  },
  rephrase: ({ question }) => fillField(question),
  save,
};

async function askAgain({ id, question, tags, alone }) {
  stop();
  const index = conversation.exchanges.findIndex((exchange) => exchange.id === id);
  const exchange = { id, question, tags, alone, model: chosenModel() };
  conversation.exchanges[index] = exchange;
  const view = new ExchangeView(exchange, actions);
  views[index].root.replaceWith(view.root);
  views[index] = view;
  focusField(view.root);
  await answer(view);
}

async function answer(view) {
  const { exchange } = view;
  const controller = new AbortController();
  running = controller;
  setBusy(true);
  view.showSearching();
  announce(text("searching"));
  scroller.scrollTop += view.root.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
  const before = conversation;
  let partial = "";
  try {
    exchange.answer = await ask(
      { question: exchange.question, history: historyBefore(exchange), tags: exchange.tags, model: exchange.model },
      {
        hits: (found) => view.showHitsFound(found),
        delta: (more) => view.showDelta((partial += more)),
      },
      controller.signal,
    );
    view.showAnswer(exchange.answer);
    announce(sentenceOf(exchange.answer));
  } catch (error) {
    exchange.partial = partial;
    showError(view, error, partial);
  } finally {
    if (running === controller) {
      running = null;
      setBusy(false);
    }
    keep(before);
  }
}

function showError(view, error, partial) {
  if (error.name === "AbortError") {
    view.showStopped(partial);
    announce(text("stopped_announcement"));
    return;
  }
  const failure = failureOf(error);
  view.exchange.failure = failure;
  view.showFailure(failure, partial);
  announce(failure.message);
  if (error.code === "offline" || error.code === "cut_off") check();
}

function failureOf(error) {
  if (!(error instanceof ServiceError)) {
    console.error(error);
    return { message: text("error_unexpected"), detail: "" };
  }
  const detail = error.detail?.id ? text("error_id", { id: error.detail.id }) : "";
  return { message: error.message || text(`error_${error.code}`), detail };
}

/** The questions that this one may follow on: none from before one that was to stand alone. */
function historyBefore(exchange) {
  const upTo = conversation.exchanges.slice(0, conversation.exchanges.indexOf(exchange) + 1);
  const first = upTo.findLastIndex(({ alone }) => alone);
  return upTo.slice(Math.max(first, 0), -1).map(({ question }) => question).slice(-MAX_HISTORY);
}

function sentenceOf(answer) {
  if (answer.refused) return text("refused");
  const words = answer.statements.map((statement) => readable(statement.text)).join(" ");
  return text("answered", { text: words, count: answer.citations.length });
}

function save() {
  keep(conversation);
}

function keep(kept) {
  if (kept && saveConversation(kept)) toast(text("storage_full"));
}
