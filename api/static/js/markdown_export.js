// Answers and conversations as Markdown, with their citations.

import { linesOf, placeOf, text } from "./dom.js";
import { CONFIRMED_SUPPORT } from "./statements.js";

/** An answer and its sources, as the copy button gives them. */
export function answerAsMarkdown(answer) {
  if (answer.refused) return text("refused");
  const statements = answer.statements.map((statement) => {
    const doubt = statement.support < CONFIRMED_SUPPORT ? `（${text("unconfirmed")}）` : "";
    return statement.text + doubt + statement.citation_numbers.map((number) => `[${number}]`).join("");
  });
  const sources = answer.citations.map(sourceAsMarkdown);
  return [statements.join("\n\n"), ...(sources.length ? [`${text("sources")}\n\n${sources.join("\n")}`] : [])].join("\n\n");
}

function sourceAsMarkdown(citation) {
  const quote = citation.quote.split("\n").map((line) => `  > ${line}`.trimEnd());
  const place = `- [${citation.number}] ${placeOf(citation)}（${citation.doc_id} ${linesOf(citation)}）`;
  return [place, "", ...quote, ""].join("\n");
}

export function conversationAsMarkdown(conversation) {
  const exchanges = conversation.exchanges.map((exchange) => {
    const answer = exchange.answer ? answerAsMarkdown(exchange.answer) : (exchange.partial ?? "");
    return `## ${exchange.question}\n\n${answer.trim()}\n`;
  });
  const date = new Date(conversation.updated).toLocaleString("ja-JP");
  return [`# ${conversation.title}`, `${text("asked_at")} ${date}`, ...exchanges].join("\n\n");
}

/** Hands a file to the reader's download folder. */
export function download(name, content) {
  const url = URL.createObjectURL(new Blob([content], { type: "text/markdown;charset=utf-8" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: fileName(name) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function fileName(name) {
  return `${name.replace(/[\\/:*?"<>|\s]+/g, "_").slice(0, 60) || "kotae"}.md`;
}

/** Puts text on the clipboard; false if the browser does not allow it. */
export async function copy(content) {
  try {
    await navigator.clipboard.writeText(content);
    return true;
  } catch {
    return copyBySelection(content);
  }
}

// navigator.clipboard exists only on https and localhost.
function copyBySelection(content) {
  const field = Object.assign(document.createElement("textarea"), { value: content, className: "visually-hidden" });
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  return copied;
}
