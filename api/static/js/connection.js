// Says when the service cannot be reached, and watches for its return.

import { announce } from "./announce.js";
import { isReady } from "./api.js";
import { byId, text } from "./dom.js";

const POLL_MILLISECONDS = 2000;
const banner = byId("banner");
let polling = 0;

export function startConnection() {
  window.addEventListener("offline", check);
  window.addEventListener("online", check);
}

/** Looks whether the service answers; if not, shows so until it does. */
export async function check() {
  clearTimeout(polling);
  if (await isReady()) {
    if (!banner.hidden) announce(text("online"));
    banner.hidden = true;
    return;
  }
  banner.textContent = text("offline");
  banner.hidden = false;
  polling = setTimeout(check, POLL_MILLISECONDS);
}

/** While the service is still opening its index: loads the page anew once it is ready. */
export async function waitUntilReady() {
  if (await isReady()) location.reload();
  else setTimeout(waitUntilReady, POLL_MILLISECONDS / 2);
}
