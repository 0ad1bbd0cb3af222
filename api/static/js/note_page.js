// A note on a page of its own.

import { scrollToLine, scrollToMark, startNoteTools } from "./note_search.js";

const note = document.getElementById("note");
startNoteTools(note);
if (location.hash.startsWith("#L")) {
  scrollToLine(note.querySelector(".note-body"), Number(location.hash.slice(2)));
} else {
  scrollToMark(note);
}
