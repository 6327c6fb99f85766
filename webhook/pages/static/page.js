// What JavaScript adds to every page: local times, running clocks, copy buttons, the theme, and updates of the list of
// builds. Without it the pages show the same content, in UTC.
"use strict";

const repo2hub = (() => {
  const root = document.documentElement;
  // Difference between the server's clock and this one.
  const offset = root.dataset.now ? Date.parse(root.dataset.now) - Date.now() : 0;
  const now = () => Date.now() + offset;

  // The same as `format_duration` and `ago` in webhook/pages/filters.py.
  function formatDuration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`;
    const minutes = Math.floor(whole / 60);
    if (whole < 86400) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
    return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
  }

  function ago(seconds) {
    if (seconds < 60) return "just now";
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} d ago`;
  }

  const inZone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const inFull = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function localizeTimes(within) {
    for (const time of within.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      time.title = inFull.format(at);
      if ("local" in time.dataset) setText(time, inZone.format(at));
    }
  }

  function tick() {
    for (const time of document.querySelectorAll("time[data-ago]")) {
      setText(time, ago((now() - Date.parse(time.dateTime)) / 1000));
    }
    for (const element of document.querySelectorAll("[data-since]")) {
      const seconds = (now() - Date.parse(element.dataset.since)) / 1000;
      if (element.tagName === "PROGRESS") element.value = seconds;
      else setText(element, formatDuration(seconds));
    }
  }

  /** Replace the children of an element and keep the focus on the element that had it. */
  function replaceContent(holder, ...fresh) {
    const focused = holder.contains(document.activeElement) ? document.activeElement : null;
    const [id, href] = [focused?.id, focused?.getAttribute("href")];
    holder.replaceChildren(...fresh);
    localizeTimes(holder);
    tick();
    const same = id
      ? document.getElementById(id)
      : href && [...holder.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === href);
    if (same) same.focus({ preventScroll: true });
  }

  /** Fetch a part of this page; return null if that fails. */
  async function fetchPart(query, name) {
    const url = new URL(location.href);
    url.search = query;
    url.hash = "";
    url.searchParams.set("part", name);
    try {
      const answer = await fetch(url, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (!answer.ok || answer.redirected) return null;
      return new DOMParser().parseFromString(await answer.text(), "text/html").body;
    } catch {
      return null;
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-theme-toggle]");
    if (!button) return;
    if ("themeToggle" in button.dataset) {
      const dark = getComputedStyle(root).colorScheme === "dark"
        || (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
      root.dataset.theme = dark ? "light" : "dark";
      try {
        localStorage.setItem("repo2hub-theme", root.dataset.theme);
      } catch {
        // Without storage, the theme lasts until the page is left.
      }
      return;
    }
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      setText(button, "Copied");
    } catch {
      // No clipboard over plain http: select the text, so that the keyboard can copy it.
      getSelection().selectAllChildren(button.previousElementSibling);
      setText(button, "Selected");
    }
    setTimeout(() => setText(button, "Copy"), 2000);
  });

  document.addEventListener("DOMContentLoaded", () => {
    localizeTimes(document);
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone) setText(document.querySelector("[data-zone]"), zone);
    tick();
    setInterval(tick, 1000);
    watchList();
  });

  const BUSY = 4000;
  const IDLE = 12000;

  /** Keep the list of builds up to date while the page is visible. */
  function watchList() {
    const list = document.querySelector("#list[data-live]");
    if (!list) return;
    const version = (within) => within.querySelector("#active")?.dataset.ids ?? "";
    let failures = 0;

    async function update() {
      if (document.hidden) return;
      const fresh = await fetchPart(list.dataset.live, "active");
      failures = fresh ? 0 : failures + 1;
      if (!fresh) return;
      if ("untilFirst" in list.dataset) {
        if (version(fresh) !== "0") location.reload();
        return;
      }
      const [before, after] = [document.querySelector("#active"), fresh.querySelector("#active")];
      if (version(document) === version(fresh)) {
        if (before && after) replaceContent(before, ...after.childNodes);
        return;
      }
      const whole = await fetchPart(list.dataset.live, "list");
      if (!whole) return;
      replaceContent(list, ...whole.childNodes);
      const count = list.querySelector("#active .count")?.textContent;
      setText(document.querySelector("#live-status"), count ? `List updated: ${count} in progress.` : "");
    }

    function schedule() {
      const busy = document.querySelector("#active .row") !== null;
      setTimeout(() => update().finally(schedule), (busy ? BUSY : IDLE) * Math.min(2 ** failures, 16));
    }
    document.addEventListener("visibilitychange", () => void update());
    schedule();
  }

  return { fetchPart, replaceContent };
})();
