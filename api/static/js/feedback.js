// 良い / 悪い with a comment, below an answer.

import { announce, toast } from "./announce.js";
import { sendFeedback } from "./api.js";
import { text } from "./dom.js";

/** Wires the verdict buttons of an exchange; `save()` keeps the exchange. */
export function startFeedback(root, form, exchange, save) {
  const buttons = [...root.querySelectorAll("[data-verdict]")];
  const field = form.querySelector("textarea");
  field.value = exchange.comment ?? "";
  showVerdict(buttons, exchange.verdict);

  async function give(verdict, comment, sentence) {
    try {
      await sendFeedback(exchange.answer.answer_id, verdict, comment);
    } catch (error) {
      toast(error.message || text("error_offline"));
      return false;
    }
    Object.assign(exchange, { verdict, comment });
    showVerdict(buttons, verdict);
    save();
    announce(sentence);
    return true;
  }

  for (const button of buttons) {
    button.addEventListener("click", async () => {
      const verdict = button.dataset.verdict;
      if (await give(verdict, field.value.trim(), text("verdict_saved"))) {
        form.hidden = false;
        if (verdict === "bad") field.focus();
      }
    });
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await give(exchange.verdict, field.value.trim(), "")) {
      form.hidden = true;
      toast(text("comment_saved"));
      buttons.find((button) => button.dataset.verdict === exchange.verdict)?.focus();
    }
  });
}

function showVerdict(buttons, verdict) {
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
  }
}
