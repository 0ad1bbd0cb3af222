// The chat page: its parts put together.

import { currentConversation, openConversation, send, showTitle, stop } from "./chat.js";
import { focusField, startComposer } from "./composer.js";
import { startConnection, waitUntilReady } from "./connection.js";
import { byId, ready } from "./dom.js";
import { conversationAsMarkdown, download } from "./markdown_export.js";
import { closeReader, startReader } from "./reader.js";
import { showList, startSidebar } from "./sidebar.js";

const sidebar = {
  current: () => currentConversation()?.id ?? null,
  open: (id) => {
    openConversation(id);
    showList(sidebar);
    focusField();
  },
  start: () => sidebar.open(null),
  removed: (id) => {
    if (id === sidebar.current()) openConversation(null);
    showList(sidebar);
  },
  renamed: () => showTitle(),
};

startReader();
startSidebar(sidebar);
startConnection();
startComposer({
  onSend: async (question) => {
    const answered = send(question);
    showList(sidebar);
    await answered;
  },
  onStop: stop,
});

byId("examples")?.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) {
    send(button.textContent);
    showList(sidebar);
    focusField();
  }
});

byId("export").addEventListener("click", () => {
  const conversation = currentConversation();
  download(conversation.title, conversationAsMarkdown(conversation));
});

const theme = byId("theme");
theme.value = document.documentElement.dataset.theme ?? "auto";
theme.addEventListener("change", () => {
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  try {
    localStorage.setItem("kotae.theme", theme.value);
  } catch {
    // Storage is switched off: the choice holds for this page.
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing) closeReader();
});

if (ready) {
  openConversation(location.hash.slice(1));
  showList(sidebar);
  focusField();
} else {
  byId("question").disabled = true;
  byId("send").disabled = true;
  waitUntilReady();
}
