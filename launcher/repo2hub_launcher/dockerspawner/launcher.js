// The live part of the spawn page: lists ready images, requests a build and shows its progress.
// Data from the service may come from an untrusted repository, so it is only ever inserted as text, never as HTML.
(() => {
  "use strict";
  const config = JSON.parse(document.getElementById("r2h-config").textContent);
  const hub = window.jhdata;
  const api = `${hub.base_url.replace(/hub\/$/, "")}services/${config.service}/api/v1/`;
  const $ = (id) => document.getElementById(`r2h-${id}`);
  const POLL = 4000, POLL_AFTER_ERROR = 20000, RECONNECT = 2000, MAX_LINES = 5000;
  const memory = `repo2hub-build:${hub.user}`, seen = `repo2hub-ready:${hub.user}`;

  // --- requests ------------------------------------------------------------------------------------------------

  // The token is stored in this page only, so that the next user of the same browser gets a token of their own.
  let token = null;

  class RequestError extends Error {
    constructor(message, status, code) { super(message); this.status = status; this.code = code; }
  }

  const tokens = `${hub.base_url}api/users/${encodeURIComponent(hub.user)}/tokens`;
  const xsrf = `_xsrf=${encodeURIComponent(hub.xsrf_token)}`;

  async function newToken() {
    const body = {
      note: "repo2hub: spawn page", expires_in: 3600,
      scopes: [`access:services!service=${config.service}`],
    };
    const answer = await fetch(`${tokens}?${xsrf}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (!answer.ok) {
      const message = answer.status === 403 || answer.status === 400
        ? `You do not have access to the service ${config.service}. Ask the hub's admin for it.`
        : "The hub did not create an API token. Reload the page.";
      throw new RequestError(message, answer.status, "no_token");
    }
    const { token: text, id } = await answer.json();
    token = { text, id, until: Date.now() + 55 * 60 * 1000 };
  }

  window.addEventListener("pagehide", () => {
    if (token) fetch(`${tokens}/${token.id}?${xsrf}`, { method: "DELETE", keepalive: true }).catch(() => {});
    token = null;
  });

  let creating = null;
  async function request(path, options = {}) {
    if (!token || token.until < Date.now()) {
      creating ??= newToken().finally(() => { creating = null; });
      await creating;
    }
    const headers = { Accept: "application/json", ...options.headers, Authorization: `Bearer ${token.text}` };
    let answer;
    try {
      answer = await fetch(api + path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new RequestError("Cannot connect to the build service.", 0, "unreachable");
    }
    if (answer.ok) return answer;
    if (answer.status === 401) token = null;
    const body = await answer.json().catch(() => ({}));
    const message = body?.error?.message ?? body?.message
      ?? (answer.status >= 500 ? "The build service does not answer." : "The build service refused the request.");
    throw new RequestError(message, answer.status, body?.error?.code ?? "refused");
  }

  async function post(path, body) {
    const headers = { "Content-Type": "application/json" };
    return (await request(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  }

  // --- formatting ---------------------------------------------------------------------------------------------

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

  // --- ready images ---------------------------------------------------------------------------------------------

  const cards = new Map();
  let isFirst = true, timer = null;

  const keyOf = (image) => `${image.repository.toLowerCase()} ${image.ref}`;
  // An image that was built for a commit has no ref.
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
      // Moved only if necessary, because a radio button that is moved loses the focus.
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
      $("ready-note").textContent = "No image is ready yet. Build one below; it appears here when it is ready.";
    }
    if (named.length) $("ready-note").textContent = `Now ready: ${named.slice(0, 3).join(", ")}`;
  }

  function search() {
    const terms = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const { label } of cards.values()) {
      const text = label.textContent.toLowerCase();
      label.hidden = !terms.every((term) => text.includes(term));
      found += label.hidden ? 0 : 1;
    }
    $("nothing").hidden = found > 0 || cards.size === 0;
  }

  // Keeps what the user has typed or selected meanwhile.
  function preselect(images) {
    if (document.querySelector('#r2h input[name="choice"]:checked') && !($("choose-build").checked && untouched)) return;
    const wanted = config.repo.toLowerCase();
    const match = images.find((image) => image.repository.toLowerCase() === wanted
      && (!config.ref || config.ref === "HEAD" || shortRef(image.ref) === shortRef(config.ref)));
    // The newest image is not selected automatically: it can be the image of any user.
    if (match) cards.get(keyOf(match)).radio.checked = true;
    else $("choose-build").checked = true;
    choiceChanged();
  }

  async function poll() {
    clearTimeout(timer);
    let wait = POLL;
    try {
      const { images } = await (await request("images")).json();
      if ($("ready-note").dataset.error) { $("ready-note").textContent = ""; delete $("ready-note").dataset.error; }
      show(images);
    } catch (error) {
      $("ready-note").textContent = `${error.message} The list of ready images is not available. Retrying…`;
      $("ready-note").dataset.error = "yes";
      if (isFirst) {
        $("list").replaceChildren();
        $("ready").hidden = true;
        preselect([]);
      }
      wait = POLL_AFTER_ERROR;
    }
    // A page in the background does not poll.
    if (!document.hidden) timer = setTimeout(poll, wait);
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });

  // --- a build -------------------------------------------------------------------------------------------------------

  let build = null, follower = null, ticking = null, startedAt = 0, untouched = true, pinned = true;

  function showFieldError(message) {
    $("repo-error").textContent = message;
    $("repo-error").hidden = !message;
    $("repo").setAttribute("aria-invalid", String(Boolean(message)));
  }

  function setStatus(text, kind = "") {
    $("status").className = `r2h-status ${kind}`;
    if ($("status").textContent !== text) $("status").textContent = text;
  }

  function setStep(now, bad = false) {
    const steps = [...$("steps").children];
    const at = steps.findIndex((one) => one.dataset.step === now);
    steps.forEach((one, place) => {
      one.classList.toggle("is-done", place < at || now === "ready");
      one.classList.toggle("is-now", place === at && now !== "ready" && !bad);
      one.classList.toggle("is-bad", place === at && bad);
    });
  }

  function tick() {
    $("elapsed").textContent = clock((Date.now() - startedAt) / 1000);
  }

  function runClock(seconds) {
    startedAt = Date.now() - seconds * 1000;
    clearInterval(ticking);
    ticking = setInterval(tick, 1000);
    tick();
  }

  // Escape sequences, control characters and characters that change the text direction.
  const CONTROLS =
    /\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]{0,8}[0-~])|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
  const MAX_LINE_LENGTH = 4000; // characters of a line that are shown

  // Programs that draw a progress bar end each of its states with \r. Only the last one is shown.
  function lastState(line) {
    const text = line.endsWith("\r") ? line.slice(0, -1) : line;
    return text.slice(text.lastIndexOf("\r") + 1).slice(0, MAX_LINE_LENGTH).replace(CONTROLS, "");
  }

  let half = "";
  function write(text) {
    const log = $("log");
    const lines = (half + text).split("\n");
    half = lines.pop();
    if (!lines.length) return;
    log.append(document.createTextNode(`${lines.map(lastState).join("\n")}\n`));
    while (log.childNodes.length > MAX_LINES) log.firstChild.remove();
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

  function describe(status) {
    if (status.status === "queued") {
      setStep("queued");
      const position = status.queue_position;
      setStatus(`Waiting for a builder: ${position > 1 ? `position ${position}` : "next"} in the queue`);
    } else if (status.status === "running") {
      setStep(status.phase === "fetching" || !status.phase ? "fetching" : "building");
      setStatus({ fetching: "Fetching the repository", pushing: "Pushing the image" }[status.phase] ?? "Building the image");
    }
  }

  function finish(ended) {
    clearInterval(ticking);
    $("elapsed").textContent = clock(ended.durations.total);
    $("build-button").textContent = "Build";
    if (ended.status === "succeeded") {
      setStep("ready");
      setStatus("The image is ready. Press Start at the bottom of the page.", "is-good");
      $("commit").value = ended.commit;
      poll();
    } else {
      setStep(ended.phase === "fetching" ? "fetching" : "building", true);
      const reason = (ended.message || "see its log for the reason").replace(/\.$/, "");
      setStatus(ended.status === "cancelled" ? "The build was cancelled." : `The build failed: ${reason}.`, "is-bad");
      if (ended.advice) showAdvice(`How to fix it (${ended.advice.who}): ${ended.advice.text}`);
    }
  }

  function showAdvice(text) {
    $("advice").textContent = text;
    $("advice").hidden = !text;
  }

  // Server-sent events by fetch, because EventSource cannot send a token.
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
    let lastEventId = null;
    while (!mine.signal.aborted) {
      try {
        const path = `builds/${id}/log${lastEventId ? `?after=${encodeURIComponent(lastEventId)}` : ""}`;
        for await (const event of events(path, mine.signal)) {
          lastEventId = event.id ?? lastEventId;
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
          return setStatus(error.message, "is-bad");
        }
        setStatus("Connection lost. Reconnecting; the build continues.");
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
    setStep("queued");
    showAdvice("");
    $("page").href = `${api.replace(/api\/v1\/$/, "")}builds/${id}`;
    $("page").hidden = false;
    // The elapsed time of a build that was already running.
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

  async function requestBuild() {
    const repo = repository();
    if (!repo) {
      showFieldError("Enter the repository as org/repo or as its GitHub URL.");
      $("repo").focus();
      return;
    }
    showFieldError("");
    const ref = $("ref").value.trim() || "HEAD";
    $("build-button").disabled = true;
    $("build-button").textContent = "Requesting…";
    try {
      const answer = await post("builds", { repository: repo, ref });
      // The name as the service normalizes it, which the hub accepts.
      $("repo").value = (answer.build ?? answer.image).repository;
      if (answer.build) watch(answer.build.id, $("repo").value, ref);
      else {
        follower?.abort();
        forget();
        $("progress").hidden = false;
        $("log").hidden = true;
        $("page").hidden = true;
        showAdvice("");
        setStep("ready");
        clearInterval(ticking);
        $("elapsed").textContent = "";
        setStatus("The image of this commit already exists. Press Start at the bottom of the page.", "is-good");
        $("commit").value = answer.image.commit;
        poll();
      }
    } catch (error) {
      showFieldError(error.message);
      $("progress").hidden = true;
    } finally {
      $("build-button").disabled = false;
      $("build-button").textContent = "Build";
    }
  }

  $("build-button").addEventListener("click", requestBuild);
  for (const id of ["repo", "ref"]) {
    $(id).addEventListener("input", () => {
      untouched = false;
      $("commit").value = "";
      showFieldError("");
      choiceChanged();
    });
    // Enter requests a build; it does not submit the form, which Start does.
    $(id).addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); requestBuild(); }
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
      window.prompt("Copy this link:", link);
    }
    setTimeout(() => { $("share").textContent = "Copy a link to share"; }, 3000);
  });

  // --- the form ------------------------------------------------------------------------------------------------------

  /** The fields of a link to share: the chosen repository; null for one of the hub's images. */
  function shared() {
    const chosen = document.querySelector('#r2h input[name="choice"]:checked')?.value ?? "";
    if (chosen.startsWith("ready:")) {
      const { repo, ref } = JSON.parse(chosen.slice("ready:".length));
      return { repo, ref };
    }
    const repo = chosen === "build" && repository();
    return repo ? { repo, ref: $("ref").value.trim() || "HEAD" } : null;
  }

  function choiceChanged() {
    $("sharing").hidden = shared() === null;
  }
  document.getElementById("r2h").addEventListener("change", (event) => {
    if (event.target.name === "choice") { untouched = false; choiceChanged(); }
  });

  document.getElementById("spawn_form").addEventListener("submit", (event) => {
    const missing = $("choose-build").checked && !repository();
    if (!missing) {
      // The hub shows the progress from here on, and the next visit begins with the last choice.
      sessionStorage.removeItem(memory);
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    showFieldError("Enter the repository as org/repo or as its GitHub URL.");
    $("repo").focus();
  }, true);

  // Placeholders for as many cards as last time, so that nothing below them moves when the list is loaded.
  function showPlaceholders() {
    const count = Math.min(Number(localStorage.getItem(seen) ?? 2), 5);
    for (let place = 0; place < count; place += 1) $("list").append(element("div", "r2h-card r2h-skeleton"));
    $("ready").hidden = count === 0;
  }

  function begin() {
    $("build-button").hidden = false;
    showPlaceholders();
    const stored = JSON.parse(sessionStorage.getItem(memory) ?? "null");
    const isLinkToOther = config.link && stored && (stored.repo !== config.repo || stored.ref !== (config.ref || "HEAD"));
    if (stored && !isLinkToOther) {
      $("repo").value = stored.repo;
      $("ref").value = stored.ref === "HEAD" ? "" : stored.ref;
      $("choose-build").checked = true;
      untouched = false;
      watch(stored.id, stored.repo, stored.ref);
    } else if (config.repo) $("choose-build").checked = true;
    choiceChanged();
    poll();
  }
  begin();
})();
