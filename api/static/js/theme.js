// Runs before the first paint, so that a chosen theme does not flash up late.
try {
  const theme = localStorage.getItem("kotae.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the device's theme it is.
}
