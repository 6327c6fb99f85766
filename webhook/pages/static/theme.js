// Before the page is drawn: that scripts run, and which theme was chosen last; so nothing jumps or flashes.
"use strict";
{
  const root = document.documentElement;
  root.classList.add("js");
  let chosen = null;
  try {
    chosen = localStorage.getItem("repo2hub-theme");
  } catch {
    // Storage may be forbidden; then the system's theme it is.
  }
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
}
