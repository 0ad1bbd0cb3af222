// The list of conversations: open, rename, delete.

import { toast } from "./announce.js";
import { byId, element, fromTemplate, text } from "./dom.js";
import { findConversation, listConversations, onChange, removeConversation, restoreConversation, saveConversation } from "./store.js";

const DAY_MILLISECONDS = 86_400_000;
const list = byId("conversations");
const layout = byId("layout");
const opener = byId("open-sidebar");
const narrow = matchMedia("(max-width: 51.999rem)");

/** `on` = {open(id), start(), current(), removed(id)}. */
export function startSidebar(on) {
  byId("new-conversation").addEventListener("click", () => {
    setOpen(false);
    on.start();
  });
  opener.addEventListener("click", () => setOpen(true));
  byId("close-sidebar").addEventListener("click", () => setOpen(false));
  byId("sidebar").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && layout.classList.contains("with-sidebar")) setOpen(false);
  });
  byId("chat").addEventListener("click", (event) => {
    if (!opener.contains(event.target) && layout.classList.contains("with-sidebar")) setOpen(false);
  });
  onChange(() => showList(on));
  narrow.addEventListener("change", () => setOpen(false));
  showList(on);
  setInert();
}

function setOpen(open) {
  const was = layout.classList.contains("with-sidebar");
  layout.classList.toggle("with-sidebar", open && narrow.matches);
  opener.setAttribute("aria-expanded", String(open && narrow.matches));
  setInert();
  if (open) byId("close-sidebar").focus();
  else if (was) opener.focus();
}

// Off the screen is out of reach, for the Tab key as well.
function setInert() {
  byId("sidebar").inert = narrow.matches && !layout.classList.contains("with-sidebar");
}

export function showList(on) {
  const conversations = listConversations();
  byId("no-conversations").hidden = conversations.length > 0;
  if (list.querySelector("form:not([hidden])")) return;
  let shownAge = "";
  list.replaceChildren();
  for (const conversation of conversations) {
    const age = ageOf(conversation);
    if (age !== shownAge) list.append(element("li", { className: "age" }, text(age)));
    shownAge = age;
    list.append(item(conversation, on));
  }
}

function ageOf({ updated }) {
  const today = new Date().setHours(0, 0, 0, 0);
  if (updated >= today) return "today";
  return updated >= today - 6 * DAY_MILLISECONDS ? "this_week" : "earlier";
}

function item({ id, title }, on) {
  const { root, slots } = fromTemplate("conversation-template");
  slots.title.textContent = title;
  if (id === on.current()) slots.title.setAttribute("aria-current", "true");
  slots.title.addEventListener("click", () => {
    setOpen(false);
    on.open(id);
  });
  const rename = root.querySelector("[data-action=rename]");
  rename.setAttribute("aria-label", text("rename_of", { title }));
  rename.addEventListener("click", () => startRenaming(root, id, on));
  const remove = root.querySelector("[data-action=delete]");
  remove.setAttribute("aria-label", text("delete_of", { title }));
  remove.addEventListener("click", () => {
    const conversation = findConversation(id);
    removeConversation(id);
    on.removed(id);
    byId("new-conversation").focus();
    toast(text("deleted", { title }), text("undo"), () => restoreConversation(conversation));
  });
  return root;
}

function startRenaming(root, id, on) {
  const form = root.querySelector("form");
  const field = form.querySelector("input");
  const conversation = findConversation(id);
  field.value = conversation.title;
  form.hidden = false;
  field.select();
  let finished = false;

  function finish(keep) {
    if (finished) return;
    finished = true;
    form.hidden = true;
    const title = field.value.trim();
    if (keep && title) {
      conversation.title = title;
      saveConversation(conversation);
      on.renamed(id, title);
    } else {
      showList(on);
    }
    list.querySelector("[aria-current]")?.focus();
  }

  field.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      finish(false);
    }
    if (event.key === "Enter") {
      event.preventDefault();
      finish(true);
    }
  });
  field.addEventListener("blur", () => finish(true));
  form.addEventListener("submit", (event) => event.preventDefault());
}
