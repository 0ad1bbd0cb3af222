// The words of an answer: as they stream in, and once their citations are checked.

import { citationButton, pendingCitation } from "./citations.js";
import { element, text } from "./dom.js";
import { withoutMarks } from "./readable.js";

/** Below this support the notes do not confirm a statement. */
export const CONFIRMED_SUPPORT = 0.5;

/** Statements are shown one below the other; what made them a list goes. */
const MARK = /^\s*(?:[-*+]|#{1,6})\s+/;

/** Shows text that is still coming, a line a statement, its `[n]` as numbers. */
export function showPartial(container, partial) {
  const lines = partial.split("\n").filter((line) => line.trim());
  lines.forEach((line, index) => {
    const shown = container.children[index] ?? container.appendChild(statementElement());
    // Lines that are complete do not change any more; touching them would break a selection.
    if (shown.dataset.source === line) return;
    shown.dataset.source = line;
    shown.replaceChildren(element("p", {}, ...withNumbers(line.replace(MARK, ""))));
  });
}

function withNumbers(line) {
  return withoutMarks(line)
    .split(/\[(\d{1,2})\]/)
    .map((part, index) => (index % 2 ? pendingCitation(part) : part))
    .filter((part) => part !== "");
}

/** Shows the checked statements; `open` is called when a citation is clicked. */
export function showStatements(container, answer, open) {
  const citations = new Map(answer.citations.map((citation) => [citation.number, citation]));
  container.replaceChildren(
    ...answer.statements.map((statement) => {
      const shown = statementElement();
      // Rendered from Markdown and sanitised by the service.
      shown.innerHTML = statement.html;
      const end = lastTextBlock(shown);
      if (statement.support < CONFIRMED_SUPPORT) end.append(markUnconfirmed(shown));
      for (const number of statement.citation_numbers) {
        const citation = citations.get(number);
        if (citation) end.append(citationButton(citation, open));
      }
      return shown;
    }),
  );
  dropRepeatedLeads(container);
}

// Several statements from under one heading need it named once.
function dropRepeatedLeads(container) {
  let named = "";
  for (const shown of container.children) {
    const lead = shown.querySelector(":scope > .lead");
    if (lead && lead.textContent === named) lead.remove();
    named = lead?.textContent ?? "";
  }
}

function statementElement() {
  return element("div", { className: "statement" });
}

function markUnconfirmed(shown) {
  shown.classList.add("unconfirmed");
  const title = text("unconfirmed_title");
  return element("span", { className: "unconfirmed-label", title }, text("unconfirmed"));
}

// The numbers go behind the last word, so into the last paragraph, item or cell.
function lastTextBlock(shown) {
  let block = shown;
  while (block.lastElementChild?.matches("p, ul, ol, li, blockquote, div, table, tbody, tr, td, h1, h2, h3, h4, h5, h6")) {
    block = block.lastElementChild;
  }
  return block;
}
