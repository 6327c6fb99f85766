// The spawn page's live part: lists the images that are ready, has one built and shows how that goes.
// Everything from the service is text that somebody's repository may have written: it is only ever set as text.
(() => {
  "use strict";
  const config = JSON.parse(document.getElementById("r2h-config").textContent);
  const hub = window.jhdata;
  const api = `${hub.base_url.replace(/hub\/$/, "")}services/${config.service}/api/v1/`;
  const $ = (id) => document.getElementById(`r2h-${id}`);
  const POLL = 4000, POLL_IN_TROUBLE = 20000, RECONNECT = 2000, MOST_LINES = 5000;
  const memory = `repo2hub-build:${hub.user}`, seen = `repo2hub-ready:${hub.user}`;

  // --- asking ------------------------------------------------------------------------------------------------

  // The token lives in this page alone. Whoever logs in next, on the same browser, gets one of their own.
  let token = null;

  class Refusal extends Error {
    constructor(message, status, code) { super(message); this.status = status; this.code = code; }
  }

  const tokens = `${hub.base_url}api/users/${encodeURIComponent(hub.user)}/tokens`;
  const xsrf = `_xsrf=${encodeURIComponent(hub.xsrf_token)}`;

  async function newToken() {
    const body = {
      note: "repo2hub: a spawn page", expires_in: 3600,
      scopes: [`access:services!service=${config.service}`],
    };
    const answer = await fetch(`${tokens}?${xsrf}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (!answer.ok) {
      const why = answer.status === 403 || answer.status === 400
        ? `You may not use the service ${config.service}; the hub's admin can change that.`
        : "The hub gives no token now. Reload the page.";
      throw new Refusal(why, answer.status, "no_token");
    }
    const { token: text, id } = await answer.json();
    token = { text, id, until: Date.now() + 55 * 60 * 1000 };
  }

  window.addEventListener("pagehide", () => {
    if (token) fetch(`${tokens}/${token.id}?${xsrf}`, { method: "DELETE", keepalive: true }).catch(() => {});
    token = null;
  });

  let minting = null;
  async function request(path, options = {}) {
    if (!token || token.until < Date.now()) {
      minting ??= newToken().finally(() => { minting = null; });
      await minting;
    }
    const headers = { Accept: "application/json", ...options.headers, Authorization: `Bearer ${token.text}` };
    let answer;
    try {
      answer = await fetch(api + path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal("The build service cannot be reached.", 0, "unreachable");
    }
    if (answer.ok) return answer;
    if (answer.status === 401) token = null;
    const said = await answer.json().catch(() => ({}));
    const message = said?.error?.message ?? said?.message
      ?? (answer.status >= 500 ? "The build service does not answer now." : "The build service refused that.");
    throw new Refusal(message, answer.status, said?.error?.code ?? "refused");
  }

  async function post(path, body) {
    const headers = { "Content-Type": "application/json" };
    return (await request(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  }

  // --- small words ---------------------------------------------------------------------------------------------

  const shortRef = (ref) => ref.replace(/^refs\/(heads|tags)\//, "");
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

  function ago(moment) {
    const seconds = (Date.parse(moment) - Date.now()) / 1000;
    for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
      if (-seconds >= size) return relative.format(Math.round(seconds / size), unit);
    }
    return "just now";
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // --- what is ready ---------------------------------------------------------------------------------------------

  const cards = new Map();
  let isFirst = true, timer = null;

  const keyOf = (image) => `${image.repository.toLowerCase()} ${image.ref}`;
  // What was built for a bare commit stands at no ref.
  const choiceOf = (image) => `ready:${JSON.stringify({
    repo: image.repository, ref: shortRef(image.ref) || image.commit, commit: image.commit })}`;

  function card(image) {
    const label = element("label", "r2h-card");
    const radio = element("input", "");
    Object.assign(radio, { type: "radio", name: "choice" });
    const body = element("span", "r2h-card-body");
    const name = element("span", "r2h-name", image.repository);
    name.append(element("span", "r2h-ref", shortRef(image.ref)));
    const detail = element("span", "r2h-detail");
    const commit = element("span", "r2h-commit", image.commit.slice(0, 7));
    const rest = element("span", "");
    detail.append(commit, rest);
    body.append(name, detail);
    label.append(radio, body);
    return { label, radio, commit, rest, image };
  }

  function fill(made, image) {
    made.image = image;
    made.radio.value = choiceOf(image);
    made.commit.textContent = image.commit.slice(0, 7);
    const title = image.commit_title ? ` ${image.commit_title.slice(0, 90)}` : "";
    made.rest.textContent = `${title} · built ${ago(image.built_at)}`;
    made.label.title = new Date(image.built_at).toLocaleString();
  }

  function show(images) {
    const list = $("list"), fresh = [];
    list.querySelectorAll(".r2h-skeleton").forEach((one) => one.remove());
    localStorage.setItem(seen, String(images.length));
    const wanted = new Set(images.map(keyOf));
    for (const [key, made] of cards) {
      if (!wanted.has(key)) { made.label.remove(); cards.delete(key); }
    }
    images.forEach((image, place) => {
      const key = keyOf(image);
      let made = cards.get(key);
      const changed = !made || made.image.commit !== image.commit;
      if (!made) { made = card(image); cards.set(key, made); }
      fill(made, image);
      // Moved only if it must be: a radio that is moved loses the focus.
      if (list.children[place] !== made.label) list.insertBefore(made.label, list.children[place] ?? null);
      if (changed && !isFirst) {
        fresh.push(image);
        made.label.classList.remove("r2h-new");
        requestAnimationFrame(() => made.label.classList.add("r2h-new"));
      }
    });
    $("ready").hidden = images.length === 0;
    $("search").hidden = images.length <= 6;
    search();
    if (isFirst) preselect(images);
    isFirst = false;
    const named = fresh.map((image) => `${image.repository} ${shortRef(image.ref)}`);
    if (!images.length) {
      $("ready-note").textContent = "No image is ready yet. Build one below; what is built appears here by itself.";
    }
    if (named.length) $("ready-note").textContent = `New and ready: ${named.slice(0, 3).join(", ")}`;
  }

  function search() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const { label } of cards.values()) {
      const text = label.textContent.toLowerCase();
      label.hidden = !words.every((word) => text.includes(word));
      found += label.hidden ? 0 : 1;
    }
    $("nothing").hidden = found > 0 || cards.size === 0;
  }

  // Also whatever a person typed or clicked meanwhile stays as it is.
  function preselect(images) {
    if (document.querySelector('#r2h input[name="choice"]:checked') && !($("choose-build").checked && untouched)) return;
    const wanted = config.repo.toLowerCase();
    const match = images.find((image) => image.repository.toLowerCase() === wanted
      && (!config.ref || config.ref === "HEAD" || shortRef(image.ref) === shortRef(config.ref)));
    // Never by itself what happens to be newest: that is whatever anybody had built.
    if (match) cards.get(keyOf(match)).radio.checked = true;
    else $("choose-build").checked = true;
    chosenChanged();
  }

  async function poll() {
    clearTimeout(timer);
    let wait = POLL;
    try {
      const { images } = await (await request("images")).json();
      if ($("ready-note").dataset.trouble) { $("ready-note").textContent = ""; delete $("ready-note").dataset.trouble; }
      show(images);
    } catch (error) {
      $("ready-note").textContent = `${error.message} What is ready is not listed until then.`;
      $("ready-note").dataset.trouble = "yes";
      if (isFirst) {
        $("list").replaceChildren();
        $("ready").hidden = true;
        preselect([]);
      }
      wait = POLL_IN_TROUBLE;
    }
    // A page in the background asks nothing.
    if (!document.hidden) timer = setTimeout(poll, wait);
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });

  // --- a build -------------------------------------------------------------------------------------------------------

  let build = null, follower = null, ticking = null, began = 0, untouched = true, pinned = true;

  function fail(message) {
    $("repo-error").textContent = message;
    $("repo-error").hidden = !message;
    $("repo").setAttribute("aria-invalid", String(Boolean(message)));
  }

  function say(text, kind = "") {
    $("status").className = `r2h-status ${kind}`;
    if ($("status").textContent !== text) $("status").textContent = text;
  }

  function step(now, bad = false) {
    const steps = [...$("steps").children];
    const at = steps.findIndex((one) => one.dataset.step === now);
    steps.forEach((one, place) => {
      one.classList.toggle("is-done", place < at || now === "ready");
      one.classList.toggle("is-now", place === at && now !== "ready" && !bad);
      one.classList.toggle("is-bad", place === at && bad);
    });
  }

  function tick() {
    $("elapsed").textContent = clock((Date.now() - began) / 1000);
  }

  function runClock(seconds) {
    began = Date.now() - seconds * 1000;
    clearInterval(ticking);
    ticking = setInterval(tick, 1000);
    tick();
  }

  // Colours and the like are dropped, and what could turn text around.
  const CONTROLS =
    /\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]{0,8}[0-~])|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
  const LONGEST = 4000; // characters of a line that are drawn

  // A program that draws a bar ends each state of it with \r: the last one counts.
  function lastState(line) {
    const text = line.endsWith("\r") ? line.slice(0, -1) : line;
    return text.slice(text.lastIndexOf("\r") + 1).slice(0, LONGEST).replace(CONTROLS, "");
  }

  let half = "";
  function write(text) {
    const log = $("log");
    const lines = (half + text).split("\n");
    half = lines.pop();
    if (!lines.length) return;
    log.append(document.createTextNode(`${lines.map(lastState).join("\n")}\n`));
    while (log.childNodes.length > MOST_LINES) log.firstChild.remove();
    if (pinned) log.scrollTop = log.scrollHeight;
  }

  $("log").addEventListener("scroll", () => {
    const log = $("log");
    pinned = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    $("bottom").hidden = pinned;
  });
  $("bottom").addEventListener("click", () => {
    pinned = true;
    $("log").scrollTop = $("log").scrollHeight;
    $("log").focus();
  });

  const ORDINAL = new Intl.PluralRules("en", { type: "ordinal" });
  const ordinal = (n) => `${n}${{ one: "st", two: "nd", few: "rd", other: "th" }[ORDINAL.select(n)]}`;

  function describe(status) {
    if (status.status === "queued") {
      step("queued");
      const place = status.queue_position;
      say(place > 1 ? `Waiting for a builder: ${ordinal(place)} in the queue` : "Waiting for a builder: next in the queue");
    } else if (status.status === "running") {
      step(status.phase === "fetching" || !status.phase ? "fetching" : "building");
      say({ fetching: "Fetching the repository", pushing: "Storing the image" }[status.phase] ?? "Building the image");
    }
  }

  function finish(ended) {
    clearInterval(ticking);
    $("elapsed").textContent = clock(ended.durations.total);
    $("build-button").textContent = "Build";
    if (ended.status === "succeeded") {
      step("ready");
      say("The image is ready. Press Start at the bottom of the page.", "is-good");
      $("commit").value = ended.commit;
      poll();
    } else {
      step(ended.phase === "fetching" ? "fetching" : "building", true);
      const why = (ended.message || "its log says why").replace(/\.$/, "");
      say(ended.status === "cancelled" ? "The build was stopped." : `The build failed: ${why}.`, "is-bad");
      if (ended.advice) advise(`What to do, ${ended.advice.who}: ${ended.advice.text}`);
    }
  }

  function advise(text) {
    $("advice").textContent = text;
    $("advice").hidden = !text;
  }

  // Server-sent events by fetch: EventSource cannot send a token.
  async function* events(path, signal) {
    const answer = await request(path, { headers: { Accept: "text/event-stream" }, signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = { name: "message", id: null, data: "" };
        for (const line of block.split("\n")) {
          const [, field, text] = line.match(/^(\w+): ?(.*)$/) ?? [];
          if (field === "event") event.name = text;
          else if (field === "id") event.id = text;
          else if (field === "data") event.data += text;
        }
        if (event.data) yield { ...event, data: JSON.parse(event.data) };
      }
    }
  }

  async function follow(id) {
    follower?.abort();
    const mine = follower = new AbortController();
    let after = null;
    while (!mine.signal.aborted) {
      try {
        const path = `builds/${id}/log${after ? `?after=${encodeURIComponent(after)}` : ""}`;
        for await (const event of events(path, mine.signal)) {
          after = event.id ?? after;
          if (event.name === "log") write(event.data.text);
          else if (event.name === "attempt") write(`-- attempt ${event.data.attempt} --\n`);
          else if (event.name === "status") describe(event.data);
          else if (event.name === "end") return finish(await (await request(`builds/${id}`)).json());
        }
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.status === 404 || error.status === 403) {
          forget();
          clearInterval(ticking);
          return say(error.message, "is-bad");
        }
        say("The connection is gone; trying again. The build goes on.");
      }
      await new Promise((resolve) => setTimeout(resolve, RECONNECT));
    }
  }

  function watch(id, repo, ref) {
    build = { id, repo, ref };
    sessionStorage.setItem(memory, JSON.stringify(build));
    half = "";
    pinned = true;
    $("log").replaceChildren();
    $("log").hidden = false;
    $("commit").value = "";
    $("progress").hidden = false;
    step("queued");
    advise("");
    $("page").href = `${api.replace(/api\/v1\/$/, "")}builds/${id}`;
    $("page").hidden = false;
    // How long it has been going on: who joins a build begins in its middle.
    request(`builds/${id}`).then((answer) => answer.json())
      .then((now) => { if (build?.id === id && !now.finished_at) runClock(now.durations.total); })
      .catch(() => {});
    follow(id);
  }

  function forget() {
    build = null;
    sessionStorage.removeItem(memory);
  }

  function repository() {
    const text = $("repo").value.trim().replace(/^(https?:\/\/)?(www\.)?github\.com\//i, "").replace(/(\.git)?\/*$/, "");
    return /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\/[A-Za-z0-9._-]{1,100}$/.test(text) || /^https?:\/\//.test(text) ? text : null;
  }

  async function ask() {
    const repo = repository();
    if (!repo) {
      fail("Enter the repository as org/repo, or as its address at GitHub.");
      $("repo").focus();
      return;
    }
    fail("");
    const ref = $("ref").value.trim() || "HEAD";
    $("build-button").disabled = true;
    $("build-button").textContent = "Asking…";
    try {
      const said = await post("builds", { repository: repo, ref });
      // As the service writes it, which is how the hub takes it.
      $("repo").value = (said.build ?? said.image).repository;
      if (said.build) watch(said.build.id, $("repo").value, ref);
      else {
        follower?.abort();
        forget();
        $("progress").hidden = false;
        $("log").hidden = true;
        $("page").hidden = true;
        advise("");
        step("ready");
        clearInterval(ticking);
        $("elapsed").textContent = "";
        say("This commit is built already. Press Start at the bottom of the page.", "is-good");
        $("commit").value = said.image.commit;
        poll();
      }
    } catch (error) {
      fail(error.message);
      $("progress").hidden = true;
    } finally {
      $("build-button").disabled = false;
      $("build-button").textContent = "Build";
    }
  }

  $("build-button").addEventListener("click", ask);
  for (const id of ["repo", "ref"]) {
    $(id).addEventListener("input", () => {
      untouched = false;
      $("commit").value = "";
      fail("");
      chosenChanged();
    });
    // Enter builds: the first of the two things one does here. Start is a button of its own.
    $(id).addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); ask(); }
    });
  }
  $("search").addEventListener("input", search);
  $("search").addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });

  $("share").addEventListener("click", async () => {
    const link = `${location.origin}${hub.base_url}spawn?${new URLSearchParams(shared())}`;
    try {
      await navigator.clipboard.writeText(link);
      $("share").textContent = "Copied";
    } catch {
      window.prompt("The link:", link);
    }
    setTimeout(() => { $("share").textContent = "Copy a link to share"; }, 3000);
  });

  // --- the form ------------------------------------------------------------------------------------------------------

  /** What a link to share fills in: the repository that is chosen; null for an image of the hub's. */
  function shared() {
    const chosen = document.querySelector('#r2h input[name="choice"]:checked')?.value ?? "";
    if (chosen.startsWith("ready:")) {
      const { repo, ref } = JSON.parse(chosen.slice("ready:".length));
      return { repo, ref };
    }
    const repo = chosen === "build" && repository();
    return repo ? { repo, ref: $("ref").value.trim() || "HEAD" } : null;
  }

  function chosenChanged() {
    $("sharing").hidden = shared() === null;
  }
  document.getElementById("r2h").addEventListener("change", (event) => {
    if (event.target.name === "choice") { untouched = false; chosenChanged(); }
  });

  document.getElementById("spawn_form").addEventListener("submit", (event) => {
    const missing = $("choose-build").checked && !repository();
    if (!missing) {
      // From here on the hub shows what happens, and the next visit begins with what was started.
      sessionStorage.removeItem(memory);
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    fail("Enter the repository as org/repo, or as its address at GitHub.");
    $("repo").focus();
  }, true);

  // As many cards as there were last time keep their place until they are known: nothing below them jumps.
  function keepPlaces() {
    const count = Math.min(Number(localStorage.getItem(seen) ?? 2), 5);
    for (let place = 0; place < count; place += 1) $("list").append(element("div", "r2h-card r2h-skeleton"));
    $("ready").hidden = count === 0;
  }

  function begin() {
    $("build-button").hidden = false;
    keepPlaces();
    const kept = JSON.parse(sessionStorage.getItem(memory) ?? "null");
    const isLinkToOther = config.link && kept && (kept.repo !== config.repo || kept.ref !== (config.ref || "HEAD"));
    if (kept && !isLinkToOther) {
      $("repo").value = kept.repo;
      $("ref").value = kept.ref === "HEAD" ? "" : kept.ref;
      $("choose-build").checked = true;
      untouched = false;
      watch(kept.id, kept.repo, kept.ref);
    } else if (config.repo) $("choose-build").checked = true;
    chosenChanged();
    poll();
  }
  begin();
})();
