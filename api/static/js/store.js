// Conversations, kept in this browser alone.
//
// conversation = {id, title, updated, exchanges: [exchange]}
// exchange = {id, question, tags, model, alone?, followed?, answer?, failure?, partial?, verdict?, comment?}

const KEY = "kotae.conversations";

let conversations = read();
const changed = new EventTarget();

window.addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  conversations = read();
  changed.dispatchEvent(new Event("change"));
});

/** Calls back whenever another tab, or this one, changed a conversation. */
export function onChange(callback) {
  changed.addEventListener("change", callback);
}

/** All conversations, the last used first. */
export function listConversations() {
  return [...conversations].sort((a, b) => b.updated - a.updated);
}

export function findConversation(id) {
  return conversations.find((conversation) => conversation.id === id) ?? null;
}

export function startConversation(title) {
  return { id: newId(), title: title.replace(/\s+/g, " ").slice(0, 60), updated: 0, exchanges: [] };
}

/** Adds or replaces a conversation; tells whether older ones had to go to make room. */
export function saveConversation(conversation) {
  conversation.updated = Date.now();
  conversations = [conversation, ...conversations.filter(({ id }) => id !== conversation.id)];
  return write();
}

export function removeConversation(id) {
  conversations = conversations.filter((conversation) => conversation.id !== id);
  write();
}

/** Puts back what was removed, where it was. */
export function restoreConversation(conversation) {
  conversations = [...conversations, conversation];
  write();
}

export function newId() {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
}

function read() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(stored) ? stored : [];
  } catch {
    return [];
  }
}

function write() {
  let dropped = false;
  for (;;) {
    try {
      localStorage.setItem(KEY, JSON.stringify(conversations));
      break;
    } catch (error) {
      if (error.name !== "QuotaExceededError" || conversations.length < 2) break;
      const oldest = listConversations().at(-1);
      conversations = conversations.filter(({ id }) => id !== oldest.id);
      dropped = true;
    }
  }
  changed.dispatchEvent(new Event("change"));
  return dropped;
}
