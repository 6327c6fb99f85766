// Shows the log of a build. Only visible lines are in the page, so logs of any length scroll and search equally fast. The
// log of a finished build is loaded at once, that of a running one is streamed (server-sent events).
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const view = document.querySelector("#log");
  if (!view) return;
  const $ = (id) => document.querySelector(`#log-${id}`);
  const [space, holder, note, box, found] = [$("space"), $("rows"), $("note"), $("search"), $("found")];
  const [foldButton, followButton] = [$("fold"), $("follow")];
  const ROW = 24; // pixels, as in style.css
  const OVERSCAN = 12; // rows drawn above and below the visible ones

  const log = new LogText.Log();
  const opened = new Map(); // section -> whether the user opened or closed it
  let live = "live" in view.dataset;
  let allOpen = false;
  let follow = live;
  let rows = []; // {section, line, head}: a step's head or a line
  let linked = lineOfHash();
  let matches = [];
  let current = -1;
  let query = "";
  let scheduled = 0;

  // -- rows ------------------------------------------------------------------------------------

  function isOpen(section, isLast) {
    if (section.step === null) return true;
    if (opened.has(section)) return opened.get(section);
    return allOpen || section.state === "failed" || (isLast && live);
  }

  function layOut() {
    rows = [];
    const last = log.sections.length - 1;
    log.sections.forEach((section, at) => {
      if (section.step !== null) rows.push({ section, line: section.start, head: true });
      if (!isOpen(section, at === last)) return;
      const from = section.step === null ? section.start : section.start + 1;
      for (let line = from; line < section.end; line += 1) rows.push({ section, line, head: false });
    });
    space.style.height = `${rows.length * ROW}px`;
  }

  function sectionOf(line) {
    let [low, high] = [0, log.sections.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (log.sections[middle].start <= line) low = middle;
      else high = middle - 1;
    }
    return log.sections[low];
  }

  function rowOf(line) {
    let [low, high] = [0, rows.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (rows[middle].line <= line) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  // -- drawing -------------------------------------------------------------------------------------------------

  const drawn = new Map(); // key -> element

  function draw() {
    scheduled = 0;
    const first = Math.max(0, Math.floor(view.scrollTop / ROW) - OVERSCAN);
    const last = Math.min(rows.length, Math.ceil((view.scrollTop + view.clientHeight) / ROW) + OVERSCAN);
    const wanted = new Map();
    for (let at = first; at < last; at += 1) wanted.set(keyOf(rows[at]), at);
    for (const [key, element] of drawn) {
      if (wanted.has(key)) continue;
      // If the focused row is removed, keep the focus on the log.
      if (element.contains(document.activeElement)) view.focus({ preventScroll: true });
      element.remove();
      drawn.delete(key);
    }
    let next = holder.firstElementChild;
    for (const [key, at] of wanted) {
      let element = drawn.get(key);
      if (element && element === next) next = next.nextElementSibling;
      else {
        element ??= rows[at].head ? headRow(rows[at].section) : lineRow(rows[at].line);
        holder.insertBefore(element, next);
        drawn.set(key, element);
      }
      element.style.top = `${at * ROW}px`;
    }
  }

  function keyOf(row) {
    // Everything that changes the look of a row is part of its key, so that it is redrawn exactly when needed.
    const { section, line, head } = row;
    if (!head) return `l${line}${line === linked ? "m" : ""}${query}${line === matches[current] ? "c" : ""}`;
    const isLast = section === log.sections[log.sections.length - 1];
    return `s${line}${isOpen(section, isLast)}${section.state}${live && isLast}${section.end - section.start}`;
  }

  function make(tag, className, text = "") {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  }

  function headRow(section) {
    const isLast = section === log.sections[log.sections.length - 1];
    const open = isOpen(section, isLast);
    const row = make("div", `line head ${section.state}`);
    const button = make("button", "step");
    button.type = "button";
    button.setAttribute("aria-expanded", String(open));
    const words = { done: "", cached: "cached", cancelled: "cancelled", failed: "failed", "": "" };
    const state = live && isLast && !section.state ? "running" : words[section.state];
    const size = section.end - section.start;
    button.append(
      make("span", "title", section.title),
      make("span", "state", [state, section.seconds && `${section.seconds} s`].filter(Boolean).join(" ")),
      make("span", "size", `${size} ${size === 1 ? "line" : "lines"}`),
    );
    button.addEventListener("click", () => toggle(section, !open));
    row.append(numberOf(section.start), button);
    return row;
  }

  function lineRow(line) {
    const row = make("div", "line");
    if (line === linked) row.classList.add("marked");
    if (line === matches[current]) row.classList.add("current");
    const text = make("span", "text");
    for (const piece of LogText.pieces(log.lines[line])) {
      const element = make("span", piece.names.join(" "));
      highlight(element, piece.text);
      text.append(element);
    }
    row.append(numberOf(line), text);
    return row;
  }

  function highlight(element, text) {
    let from = 0;
    const lower = query ? text.toLowerCase() : "";
    for (let at = query ? lower.indexOf(query) : -1; at >= 0; at = lower.indexOf(query, from)) {
      element.append(text.slice(from, at), make("mark", "", text.slice(at, at + query.length)));
      from = at + query.length;
    }
    element.append(text.slice(from));
  }

  function numberOf(line) {
    const link = make("a", "no", String(line + 1));
    link.href = `#L${line + 1}`;
    link.setAttribute("aria-label", `Line ${line + 1}`);
    return link;
  }

  function scheduleDraw() {
    if (!scheduled) scheduled = requestAnimationFrame(draw);
  }

  function refresh() {
    layOut();
    note.hidden = log.lines.length > 0;
    if (follow) view.scrollTop = view.scrollHeight;
    scheduleDraw();
  }

  // -- scrolling --------------------------------------------------------------------------------------------

  function toggle(section, open) {
    opened.set(section, open);
    setFollow(false);
    layOut();
    draw();
    [...holder.querySelectorAll(".head")]
      .find((row) => row.firstElementChild.textContent === String(section.start + 1))
      ?.querySelector("button")
      .focus({ preventScroll: true });
  }

  function show(line) {
    if (line < 0 || line >= log.lines.length) return;
    const section = sectionOf(line);
    if (section.step !== null && line !== section.start) opened.set(section, true);
    setFollow(false);
    layOut();
    view.scrollTop = Math.max(0, rowOf(line) * ROW - view.clientHeight / 3);
    view.scrollIntoView({ block: "nearest" });
    scheduleDraw();
  }

  function lineOfHash() {
    const match = /^#L(\d{1,9})$/.exec(location.hash);
    return match ? Number(match[1]) - 1 : -1;
  }

  function setFollow(on) {
    follow = on && live;
    followButton.setAttribute("aria-pressed", String(follow));
    if (follow) view.scrollTop = view.scrollHeight;
  }

  view.addEventListener("scroll", scheduleDraw, { passive: true });
  for (const kind of ["wheel", "touchmove", "keydown"]) {
    view.addEventListener(kind, () => requestAnimationFrame(() => {
      const atEnd = view.scrollTop + view.clientHeight >= view.scrollHeight - 2 * ROW;
      if (follow !== (atEnd && live)) setFollow(atEnd);
    }), { passive: true });
  }
  new ResizeObserver(scheduleDraw).observe(view);
  addEventListener("hashchange", () => {
    linked = lineOfHash();
    show(linked);
  });
  foldButton.addEventListener("click", () => {
    allOpen = !allOpen;
    opened.clear();
    foldButton.setAttribute("aria-pressed", String(allOpen));
    refresh();
  });
  followButton.addEventListener("click", () => setFollow(!follow));

  // -- search -----------------------------------------------------------------------------------------------

  function search() {
    query = box.value.toLowerCase();
    matches = [];
    if (query) {
      log.lines.forEach((line, at) => {
        if (LogText.plain(line).toLowerCase().includes(query)) matches.push(at);
      });
    }
    current = -1;
    for (const id of ["previous", "next"]) $(id).disabled = matches.length === 0;
    if (matches.length) go(1);
    else showCount();
    scheduleDraw();
  }

  function go(step) {
    if (!matches.length) return;
    current = (current + step + matches.length) % matches.length;
    show(matches[current]);
    showCount();
  }

  function showCount() {
    found.textContent = query ? (matches.length ? `${current + 1} of ${matches.length}` : "No matches") : "";
  }

  let typing = 0;
  box.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(search, 150);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (box.value.toLowerCase() === query) go(event.shiftKey ? -1 : 1);
    else search();
  });
  $("previous").addEventListener("click", () => go(-1));
  $("next").addEventListener("click", () => go(1));

  // -- loading -------------------------------------------------------------------------------

  function finish() {
    log.end();
    live = false;
    setFollow(false);
    followButton.hidden = true;
    note.textContent = "No log: the build did not start, or its log was removed.";
    layOut();
    if (linked >= 0) show(linked);
    else if ("failed" in view.dataset) showFailure();
    refresh();
  }

  /** Open the log at the last failed step. */
  function showFailure() {
    const sections = log.sections.filter((section) => section.state === "failed");
    const last = sections[sections.length - 1];
    const line = last ? last.end - 1 : log.lines.length - 1;
    const section = sectionOf(line);
    if (section && section.step !== null) opened.set(section, true);
    layOut();
    view.scrollTop = Math.max(0, rowOf(line) * ROW - view.clientHeight * 0.6);
  }

  async function load() {
    try {
      const answer = await fetch(view.dataset.log, { headers: { Accept: "text/plain" }, credentials: "same-origin" });
      if (!answer.ok) throw new Error(String(answer.status));
      log.clear();
      log.add(await answer.text());
      finish();
    } catch {
      note.textContent = "Could not load the log. Reload the page, or download the log.";
      note.hidden = false;
    }
  }

  let state = document.querySelector("#summary").dataset.state;

  async function updateSummary() {
    const fresh = await repo2hub.fetchPart("", "summary");
    const [before, after] = [document.querySelector("#summary"), fresh?.querySelector("#summary")];
    if (!before || !after) return;
    before.dataset.state = after.dataset.state;
    document.title = after.dataset.title;
    document.querySelector("#icon").href = after.dataset.icon;
    repo2hub.replaceContent(before, ...after.childNodes);
    state = after.dataset.state;
  }

  function listen(after) {
    const source = new EventSource(after ? `${view.dataset.log}?after=${after}` : view.dataset.log);
    let position = after;
    let pending = 0;
    const scheduleRefresh = () => {
      if (!pending) {
        pending = requestAnimationFrame(() => {
          pending = 0;
          refresh();
        });
      }
    };
    source.addEventListener("log", (event) => {
      position = event.lastEventId;
      log.add(JSON.parse(event.data).text);
      scheduleRefresh();
    });
    source.addEventListener("attempt", () => {
      log.clear();
      opened.clear();
      scheduleRefresh();
    });
    source.addEventListener("status", (event) => {
      const { status, phase, attempt, cancel_requested: asked } = JSON.parse(event.data);
      const word = asked ? "True" : "False";
      if (status === "queued") note.textContent = "Waiting for a builder. The log appears when the build starts.";
      if (status === "failed") view.dataset.failed = "";
      if (`${status} ${phase ?? ""} ${attempt} ${word}` !== state) void updateSummary();
    });
    source.addEventListener("end", () => {
      source.close();
      void updateSummary();
      finish();
    });
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return;
      // The server refused, for instance at its limit of viewers. EventSource does not retry by itself.
      if (!log.lines.length) note.textContent = "Could not follow the log; retrying.";
      setTimeout(() => listen(position), 10000);
    });
  }

  setFollow(follow);
  if (live) listen("");
  else void load();
  setInterval(() => {
    if (live && !document.hidden && state.startsWith("queued")) void updateSummary();
  }, 10000);
});
