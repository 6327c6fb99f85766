// Runs before the first paint: marks that scripts run and applies the saved theme, so that nothing jumps or flashes.
"use strict";
{
  const root = document.documentElement;
  root.classList.add("js");
  let chosen = null;
  try {
    chosen = localStorage.getItem("repo2hub-theme");
  } catch {
    // Storage can be blocked: use the system's theme.
  }
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
}
