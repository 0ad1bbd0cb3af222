// A note's own Markdown → text that reads well where there is no room for more.

const RULES = [
  [/^[ \t]*(```|~~~).*$\n?/gm, ""],
  [/^[ \t]*\|?[ \t]*:?-{2,}[-:| \t]*$\n?/gm, ""],
  [/^[ \t]*#{1,6}[ \t]+/gm, ""],
  [/^([ \t]*)[-*+][ \t]+/gm, "$1・"],
  [/^[ \t]*\|(.*?)\|?[ \t]*$/gm, (whole, row) => row.split("|").map((cell) => cell.trim()).join(" ／ ")],
  [/!?\[([^\]\n]*)\]\([^()\n]*\)/g, "$1"],
  [/<\/?[a-z][^<>\n]*>/gi, ""],
  [/\n{3,}/g, "\n\n"],
];

/** Inline marks alone: bold and code. */
export function withoutMarks(text) {
  return text.replace(/\*\*|`/g, "");
}

/** A passage without the heading it opens with, where that stands beside it anyway. */
export function withoutHeading(text, headings) {
  const [first, ...rest] = text.split("\n");
  const opens = headings.length > 0 && first.includes(headings.at(-1)) && rest.some((line) => line.trim());
  return opens && first.length < headings.at(-1).length + 8 ? rest.join("\n") : text;
}

export function readable(text) {
  const read = RULES.reduce((before, [pattern, into]) => before.replace(pattern, into), text);
  return withoutMarks(read).trim();
}
