// What every page gains by JavaScript: times in the viewer's zone, clocks that tick, copy buttons, the theme, and
// (on the list of builds) news without a reload. Without it the pages say the same, in UTC.
"use strict";

const repo2hub = (() => {
  const root = document.documentElement;
  // The server's clock, as far as it differs from this one.
  const offset = root.dataset.now ? Date.parse(root.dataset.now) - Date.now() : 0;
  const now = () => Date.now() + offset;

  // As `lasting` and `ago` of webhook/pages/filters.py.
  function lasting(seconds) {
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

  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function localise(within) {
    for (const time of within.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      time.title = inFull.format(at);
      if ("local" in time.dataset) say(time, inZone.format(at));
    }
  }

  function tick() {
    for (const time of document.querySelectorAll("time[data-ago]")) {
      say(time, ago((now() - Date.parse(time.dateTime)) / 1000));
    }
    for (const element of document.querySelectorAll("[data-since]")) {
      const seconds = (now() - Date.parse(element.dataset.since)) / 1000;
      if (element.tagName === "PROGRESS") element.value = seconds;
      else say(element, lasting(seconds));
    }
  }

  /** Put new content where the children of an element were; the focus stays on what had it. */
  function refill(holder, ...fresh) {
    const focused = holder.contains(document.activeElement) ? document.activeElement : null;
    const [id, href] = [focused?.id, focused?.getAttribute("href")];
    holder.replaceChildren(...fresh);
    localise(holder);
    tick();
    const same = id
      ? document.getElementById(id)
      : href && [...holder.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === href);
    if (same) same.focus({ preventScroll: true });
  }

  /** Fetch a part of this page; null where it cannot be had now. */
  async function part(query, name) {
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
        // Then it lasts as long as the page.
      }
      return;
    }
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      say(button, "Copied");
    } catch {
      // As over plain http: select it, so that the keyboard can copy it.
      getSelection().selectAllChildren(button.previousElementSibling);
      say(button, "Selected");
    }
    setTimeout(() => say(button, "Copy"), 2000);
  });

  document.addEventListener("DOMContentLoaded", () => {
    localise(document);
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone) say(document.querySelector("[data-zone]"), zone);
    tick();
    setInterval(tick, 1000);
    watchList();
  });

  const BUSY = 4000;
  const IDLE = 12000;

  /** Keep the list of builds up to date, as long as somebody looks at it. */
  function watchList() {
    const list = document.querySelector("#list[data-live]");
    if (!list) return;
    const stamp = (within) => within.querySelector("#active")?.dataset.ids ?? "";
    let failures = 0;

    async function look() {
      if (document.hidden) return;
      const fresh = await part(list.dataset.live, "active");
      failures = fresh ? 0 : failures + 1;
      if (!fresh) return;
      if ("untilFirst" in list.dataset) {
        if (stamp(fresh) !== "0") location.reload();
        return;
      }
      const [before, after] = [document.querySelector("#active"), fresh.querySelector("#active")];
      if (stamp(document) === stamp(fresh)) {
        if (before && after) refill(before, ...after.childNodes);
        return;
      }
      const whole = await part(list.dataset.live, "list");
      if (!whole) return;
      refill(list, ...whole.childNodes);
      const count = list.querySelector("#active .count")?.textContent;
      say(document.querySelector("#live-status"), count ? `List updated: ${count} in progress.` : "");
    }

    function schedule() {
      const busy = document.querySelector("#active .row") !== null;
      setTimeout(() => look().finally(schedule), (busy ? BUSY : IDLE) * Math.min(2 ** failures, 16));
    }
    document.addEventListener("visibilitychange", () => void look());
    schedule();
  }

  return { part, refill };
})();
