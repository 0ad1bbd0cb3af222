"use strict";
(() => {
  const themes = { auto: "自動", light: "明", dark: "暗" };
  const button = document.getElementById("theme");
  const showTheme = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `配色: ${themes[theme]}`;
  };
  let theme = "auto";
  try {
    theme = localStorage.getItem("kotae-report-theme") || "auto";
  } catch { /* a file opened from disk may have no storage */ }
  showTheme(theme in themes ? theme : "auto");
  button.addEventListener("click", () => {
    const names = Object.keys(themes);
    theme = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    showTheme(theme);
    try {
      localStorage.setItem("kotae-report-theme", theme);
    } catch { /* as above */ }
  });

  const questions = [...document.querySelectorAll(".question")];
  const chips = [...document.querySelectorAll(".chip")];
  const tag = document.getElementById("tag");
  const split = document.getElementById("split");
  const words = document.getElementById("words");
  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const texts = new Map(questions.map((question) => [
    question,
    fold([question.id.slice(2), question.querySelector(".asked").textContent,
      ...[...question.querySelectorAll(".source")].map((source) => source.textContent)].join("\n")),
  ]));

  const update = () => {
    const flag = chips.find((chip) => chip.getAttribute("aria-pressed") === "true").dataset.flag;
    const wanted = fold(words.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const question of questions) {
      const { flags, tags, split: half } = question.dataset;
      const visible = (!flag || flags.split(" ").includes(flag))
        && (!tag || !tag.value || tags.split("\t").includes(tag.value))
        && (!split || !split.value || half === split.value)
        && wanted.every((word) => texts.get(question).includes(word));
      question.hidden = !visible;
      shown += visible;
    }
    document.getElementById("shown").textContent = `${shown} 問`;
    document.getElementById("nothing").hidden = shown > 0;
  };
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      for (const other of chips) other.setAttribute("aria-pressed", String(other === chip));
      update();
    });
  }
  for (const field of [tag, split, words]) field?.addEventListener("input", update);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  update();

  // A flipped question named in the comparison opens where it stands, whatever is filtered.
  const openNamed = () => {
    const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!named?.classList.contains("question")) return;
    named.hidden = false;
    named.open = true;
    named.scrollIntoView();
  };
  addEventListener("hashchange", openNamed);
  openNamed();
})();
