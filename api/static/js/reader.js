// The notes beside the chat: their list, and one note at the span that was cited.

import { announce } from "./announce.js";
import { fetchNotePage, listDocuments } from "./api.js";
import { byId, element, fromTemplate, text } from "./dom.js";
import { scrollToMark, startNoteTools } from "./note_search.js";
import { showTour, startTour } from "./tour.js";

const panel = byId("reader");
const body = byId("reader-body");
const title = byId("reader-title");
const openLink = byId("reader-open");
const backButton = byId("reader-back");
const narrow = matchMedia("(max-width: 51.999rem)");
const touch = matchMedia("(pointer: coarse)");
let returnTo = null;
let shown = 0;

export function startReader() {
  byId("reader-close").addEventListener("click", closeReader);
  backButton.addEventListener("click", () => openList());
  byId("open-notes").addEventListener("click", (event) => toggleList(event.currentTarget));
  byId("shade").addEventListener("click", closeReader);
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing) closeReader();
  });
  narrow.addEventListener("change", setModality);
  startTour((citation, citations) => openNote(citation, null, citations));
}

/**
 * Opens a note at its URL, the cited span scrolled to; `from` gets the focus back when it is
 * closed, and `citations` are those of the answer that it was opened from.
 */
export async function openNote(cited, from = null, citations = []) {
  const turn = ++shown;
  const { url, title: name } = cited;
  open(from);
  showTour(cited, citations);
  title.textContent = name;
  backButton.hidden = false;
  openLink.hidden = false;
  openLink.href = url;
  body.replaceChildren(element("p", { className: "progress" }, "…"));
  const note = await loadNote(url);
  if (turn !== shown) return;
  body.replaceChildren(note);
  if (!note.classList.contains("note")) return;
  startNoteTools(note);
  note.querySelector(".note-title")?.remove();
  // Who steps from citation to citation stays on the button.
  const stepping = document.activeElement.closest("#tour button");
  const cites = scrollToMark(note);
  stepping?.focus();
  if (cites) announce(text("note_opened", { title: name }));
  else showContents(note);
}

/** A note that was opened as a whole starts with its headings. */
function showContents(note) {
  const contents = note.querySelector(".contents");
  if (contents) contents.open = true;
  body.scrollTop = 0;
  title.focus();
}

async function loadNote(url) {
  try {
    const page = await fetchNotePage(url);
    return document.adoptNode(page.getElementById("note"));
  } catch (error) {
    return element("p", { className: "notice" }, error.message || text("error_offline"));
  }
}

async function toggleList(from) {
  if (!panel.hidden && panel.dataset.view === "list") closeReader();
  else await openList(from);
}

async function openList(from = null) {
  const turn = ++shown;
  open(from);
  panel.dataset.view = "list";
  showTour(null, []);
  title.textContent = text("notes");
  backButton.hidden = true;
  openLink.hidden = true;
  const { root, slots } = fromTemplate("note-list-template");
  let documents;
  body.replaceChildren(root);
  try {
    documents = await listDocuments();
  } catch (error) {
    slots.count.textContent = error.message || text("error_offline");
    return;
  }
  if (turn !== shown) return;
  const filter = root.querySelector("input");
  filter.addEventListener("input", () => showMatching(root, slots, documents, filter.value));
  showMatching(root, slots, documents, "");
  // On a phone the keyboard would cover the list.
  (touch.matches ? title : filter).focus();
}

function showMatching(root, slots, documents, words) {
  const wanted = words.normalize("NFKC").toLowerCase().split(/\s+/).filter(Boolean);
  const matching = documents.filter(({ doc_id, title: name, tags }) => {
    const all = [doc_id, name, ...tags].join(" ").normalize("NFKC").toLowerCase();
    return wanted.every((word) => all.includes(word));
  });
  slots.count.textContent = text("note_count", { count: matching.length });
  root.querySelector("ul").replaceChildren(...matching.map(noteItem));
}

function noteItem({ doc_id, title: name, tags, url }) {
  const { root, slots } = fromTemplate("note-item-template");
  slots.title.textContent = name;
  slots.path.textContent = doc_id;
  slots.tags.textContent = tags.join("・");
  root.querySelector("button").addEventListener("click", () => openNote({ url, title: name }));
  return root;
}

function open(from) {
  if (panel.hidden) returnTo = from;
  else if (from) returnTo = from;
  delete panel.dataset.view;
  panel.hidden = false;
  byId("layout").classList.add("reading");
  setModality();
}

export function closeReader() {
  if (panel.hidden) return;
  shown += 1;
  panel.hidden = true;
  showTour(null, []);
  byId("layout").classList.remove("reading");
  setModality();
  if (returnTo?.isConnected) returnTo.focus();
  else byId("question").focus();
}

// On a narrow screen the note lies over the chat, which then must not take focus or be read out.
function setModality() {
  const covers = narrow.matches && !panel.hidden;
  for (const id of ["chat", "sidebar"]) byId(id).inert = covers;
  if (covers) {
    panel.setAttribute("role", "dialog");
    panel.setAttribute("aria-modal", "true");
  } else {
    panel.setAttribute("role", "complementary");
    panel.removeAttribute("aria-modal");
  }
  byId("shade").hidden = !covers;
}
