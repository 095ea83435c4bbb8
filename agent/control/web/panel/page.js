// The status page: one stream of status documents in, buttons out. Foreign text only ever becomes textContent.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const RETRY_MS = [1000, 2000, 5000, 10000];
  const WORDS = {
    offline: ["offline", "bad"], connecting: ["connecting", "wait"], idle: ["ready", "good"], printing: ["printing", "busy"],
    pausing: ["pausing", "wait"], paused: ["paused", "wait"], resuming: ["resuming", "busy"], cancelling: ["cancelling", "wait"],
    attention: ["needs you", "wait"], halted: ["halted", "bad"],
  };
  const HEATERS = { B: "Bed", C: "Chamber", T0: "Nozzle" };
  let samples = {}, shown = null, controller = null, failures = 0, retry = 0, pictureOf = "", toastTimer = 0;

  const heaterName = (key) => HEATERS[key] || `Nozzle ${Number(key.slice(1)) + 1}`;

  function duration(seconds) {
    if (seconds === null || seconds === undefined) return "";
    const minutes = Math.round(seconds / 60);
    if (seconds < 60) return `${Math.round(seconds)} s`;
    if (minutes < 60) return `${minutes} min`;
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  }

  function make(name, options = {}, ...children) {
    const made = document.createElement(name);
    if (options.class) made.className = options.class;
    if (options.text !== undefined) made.textContent = options.text;
    if (options.data) Object.assign(made.dataset, options.data);
    if (options.label) made.setAttribute("aria-label", options.label);
    if (options.click) made.addEventListener("click", options.click);
    if (name === "button") made.type = "button";
    made.append(...children);
    return made;
  }

  function toast(text) {
    const box = byId("toast");
    box.textContent = text;
    box.hidden = false;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => { box.hidden = true; }, 7000);
  }

  async function call(path, body) {
    try {
      const response = await fetch(path, {
        method: "POST", headers: { "X-Fabunit": "1", "Content-Type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      if (response.ok) return true;
      const answer = await response.json().catch(() => ({}));
      if ((answer.error?.code || answer.code) === "login_needed") return showLogin();
      const error = answer.error || `the unit answered ${response.status}`;
      toast(typeof error === "string" ? error : [error.message, error.remedy].filter(Boolean).join(". "));
    } catch {
      toast("The unit cannot be reached.");
    }
    return false;
  }

  async function press(button, path, body) {
    button.disabled = true;
    await call(path, body);
    button.disabled = false;
  }

  function confirmThen(title, text, yes, action) {
    const dialog = byId("confirm"), button = byId("confirm-yes");
    byId("confirm-title").textContent = title;
    byId("confirm-text").textContent = text;
    button.textContent = yes;
    button.onclick = () => { dialog.close(); action(); };
    byId("confirm-no").onclick = () => dialog.close();
    dialog.showModal();
  }

  function showLogin() {
    document.body.dataset.view = "login";
    if (controller) controller.abort();
    byId("key").focus();
    return false;
  }

  function jobState(job) {
    const copies = job.copies > 1 ? `copy ${job.copies_done + 1} of ${job.copies}` : "";
    const states = { received: "waits for its check", verifying: "is being checked", checking: "is being checked", slicing: "is being sliced", fetching: "is being fetched", ready: "ready", held: "held" };
    const why = job.state === "held" || job.state === "ready" ? job.detail : "";
    return [states[job.state] || job.state, copies, duration(job.estimate_s), job.material, why].filter(Boolean).join(" · ");
  }

  function jobRow(job, index) {
    const buttons = [];
    const act = (text, action, label) => buttons.push(make("button", {
      text, label: `${label}: ${job.name}`, click: (event) => press(event.currentTarget, `/v1/jobs/${encodeURIComponent(job.job_id)}/${action}`),
    }));
    if (job.state === "held") act("Release", "release", "Release");
    else if (job.state === "ready" && shown && !shown.job && shown.bed === "clear") act("Print", "start", "Print now");
    buttons.push(make("button", {
      text: "Remove", label: `Remove: ${job.name}`,
      click: () => confirmThen("Remove this job?", job.name, "Remove", () => call(`/v1/jobs/${encodeURIComponent(job.job_id)}/cancel`)),
    }));
    const text = make("div", { class: "job-text" }, make("span", { class: "job-name", text: job.name }), make("span", { class: "job-state", text: jobState(job) }));
    text.title = job.name;
    return make("li", { class: "job", data: { job: job.job_id, index: String(index) } }, text, make("div", { class: "job-buttons" }, ...buttons));
  }

  // Rebuilt only when something changed: a button must not vanish under a finger.
  const rendered = new Map();
  function whenChanged(name, value, draw) {
    const text = JSON.stringify(value);
    if (rendered.get(name) === text) return;
    rendered.set(name, text);
    draw(value);
  }

  function drawPicture(jobId) {
    if (jobId === pictureOf) return;
    pictureOf = jobId;
    const image = byId("picture");
    const none = () => { image.hidden = true; byId("no-picture").hidden = false; };
    none();
    if (!jobId) return;
    image.onload = () => { image.hidden = false; byId("no-picture").hidden = true; };
    image.onerror = none;
    image.alt = "Picture of the part";
    image.src = `/v1/jobs/${encodeURIComponent(jobId)}/picture`;
  }

  function drawPrint(status) {
    const { printer, job } = status, progress = printer.progress;
    byId("print-title").textContent = job ? job.name : printer.state === "idle" ? "Nothing prints" : WORDS[printer.state]?.[0] || printer.state;
    const told = printer.message || (printer.state === "idle" ? "" : printer.detail);
    byId("print-detail").textContent = job ? [job.material, job.copies > 1 ? `copy ${job.copies_done + 1} of ${job.copies}` : "", told].filter(Boolean).join(" · ") : told || (status.bed === "clear" ? "Ready for the next job." : "");
    byId("print-detail").dataset.tone = ["halted", "offline"].includes(printer.state) ? "bad" : "";
    const percent = progress ? Math.floor(progress.fraction * 1000) / 10 : null;
    byId("percent").textContent = percent === null ? "" : `${percent.toFixed(1)} %`;
    byId("left").textContent = progress && progress.remaining_s !== null ? `${duration(progress.remaining_s)} left` : "";
    byId("bar").hidden = percent === null;
    byId("bar").setAttribute("aria-valuenow", percent === null ? "0" : String(percent));
    byId("bar").setAttribute("aria-valuetext", [byId("percent").textContent, byId("left").textContent].filter(Boolean).join(", "));
    byId("bar-fill").style.width = `${percent || 0}%`;
    const facts = progress ? [
      ["Layer", progress.layer === null ? "" : progress.layers ? `${progress.layer} of ${progress.layers}` : String(progress.layer)],
      ["Height", progress.z_mm === null ? "" : `${progress.z_mm.toFixed(2)} mm`],
      ["Elapsed", duration(progress.elapsed_s)],
      ["Done at", progress.remaining_s === null ? "" : new Date(Date.now() + progress.remaining_s * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })],
    ] : [];
    whenChanged("facts", facts.filter((fact) => fact[1]), (kept) => byId("facts").replaceChildren(
      ...kept.map(([name, value]) => make("div", {}, make("dt", { text: name }), make("dd", { text: value })))));
    const runs = ["printing", "resuming"].includes(printer.state), rests = printer.state === "paused" || (printer.state === "attention" && !printer.prompt);
    const away = ["halted", "offline"].includes(printer.state);
    byId("connect").hidden = !away;
    byId("pause").hidden = rests || away;
    byId("pause").disabled = !runs;
    byId("resume").hidden = !rests;
    byId("cancel").disabled = !(job && ["printing", "paused", "pausing", "resuming", "attention"].includes(printer.state));
    drawPicture(job ? job.job_id : "");
  }

  function drawHeat(status) {
    whenChanged("heaters", status.printer.temperatures, (heaters) => byId("heaters").replaceChildren(
      ...Object.entries(heaters).map(([key, value]) => make("div", { class: "heater", data: { heater: key.charAt(0), key } },
        make("small", { text: heaterName(key) }), make("b", { text: `${value.actual.toFixed(1)} °C` }),
        make("small", { text: value.target > 0 ? `target ${value.target.toFixed(0)} °C` : "off" })))));
    byId("no-heat").hidden = Object.keys(status.printer.temperatures).length > 0;
    if (status.samples) samples = status.samples;
    if (status.samples || !byId("plot").hasChildNodes()) window.drawPlot(byId("plot"), samples);
  }

  function draw(status) {
    shown = status;
    document.body.dataset.view = "unit";
    byId("lost").hidden = true;
    byId("name").textContent = status.unit.name;
    const [word, tone] = WORDS[status.printer.state] || [status.printer.state, ""];
    if (byId("state").textContent !== word) byId("state").textContent = word; // read out when it changes, not every second
    byId("state").dataset.tone = tone;
    const percent = status.printer.progress ? `${Math.floor(status.printer.progress.fraction * 100)} % · ` : "";
    document.title = `${percent}${word} · ${status.unit.name}`;
    drawPrint(status);
    drawHeat(status);
    const clear = status.bed === "clear";
    byId("bed-text").textContent = clear ? "Clear: the next job may start." : status.job ? "In use." : "Take the part off, then say so.";
    byId("bed-clear").hidden = clear || Boolean(status.job);
    whenChanged("warnings", status.warnings, (said) => byId("warnings").replaceChildren(...said.map((text) => make("li", { text }))));
    const waiting = status.queue.jobs.filter((job) => !status.job || job.job_id !== status.job.job_id);
    whenChanged("jobs", [waiting, status.bed, Boolean(status.job)], () => byId("jobs").replaceChildren(...waiting.map(jobRow)));
    byId("empty").hidden = waiting.length > 0;
    const prompt = status.printer.prompt;
    byId("prompt").hidden = !prompt;
    whenChanged("prompt", prompt, (asked) => {
      byId("prompt-text").textContent = asked ? asked.text : "";
      byId("prompt-choices").replaceChildren(...(asked ? asked.choices : []).map((text, choice) => make("button", {
        text, click: (event) => press(event.currentTarget, "/v1/prompt", { choice }) })));
    });
    const host = status.host || {};
    byId("host").textContent = [
      host.cpu_c === null || host.cpu_c === undefined ? "" : `board ${host.cpu_c.toFixed(0)} °C`,
      host.disk_free_bytes ? `${(host.disk_free_bytes / 1e9).toFixed(1)} GB free` : "",
      status.link ? `coordinator ${status.link.state}` : "", `up ${duration(status.unit.uptime_s)}`,
    ].filter(Boolean).join(" · ");
    byId("version").textContent = `fabunit ${status.unit.version}`;
  }

  async function follow() {
    clearTimeout(retry);
    if (controller) controller.abort();
    const mine = controller = new AbortController();
    try {
      const response = await fetch("/v1/status/stream?interval=1", { signal: mine.signal });
      if (response.status === 403) return void showLogin();
      if (!response.ok) throw new Error(String(response.status));
      const reader = response.body.getReader(), decoder = new TextDecoder();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          const status = JSON.parse(line);
          if (status.error) throw new Error(status.error.message);
          failures = 0;
          draw(status);
        }
      }
    } catch {
      if (mine.signal.aborted) return;
    }
    if (mine !== controller || document.hidden) return;
    byId("lost").hidden = false;
    document.body.dataset.view = document.body.dataset.view === "wait" ? "unit" : document.body.dataset.view;
    retry = setTimeout(follow, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
    failures += 1;
  }

  function send(file) {
    const form = new FormData(), request = new XMLHttpRequest(), line = byId("upload");
    form.append("print", "true");
    form.append("file", file, file.name);
    line.hidden = false;
    request.upload.onprogress = (event) => { line.textContent = `${file.name}: ${Math.floor((event.loaded / event.total) * 100)} %`; };
    request.onload = () => {
      const answer = (() => { try { return JSON.parse(request.responseText); } catch { return {}; } })();
      line.textContent = request.status === 201 ? `${file.name} is in the queue.` : answer.error || `The unit answered ${request.status}.`;
    };
    request.onerror = () => { line.textContent = `${file.name} could not be sent.`; };
    request.open("POST", "/api/files/local");
    request.setRequestHeader("X-Fabunit", "1");
    request.send(form);
  }

  byId("login").addEventListener("submit", async (event) => {
    event.preventDefault();
    const error = byId("login-error");
    error.textContent = "";
    try {
      const response = await fetch("/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key: byId("key").value }) });
      const answer = await response.json();
      if (!response.ok) { error.textContent = [answer.error.message, answer.error.remedy].filter(Boolean).join("; "); return; }
      byId("key").value = "";
      follow();
    } catch {
      error.textContent = "The unit cannot be reached.";
    }
  });
  byId("pause").addEventListener("click", (event) => press(event.currentTarget, "/v1/print/pause"));
  byId("resume").addEventListener("click", (event) => press(event.currentTarget, "/v1/print/resume"));
  byId("connect").addEventListener("click", (event) => press(event.currentTarget, "/api/connection", { command: "connect" }));
  byId("cancel").addEventListener("click", () => confirmThen("Cancel this print?", "The part stays unfinished. Heaters go off, and the bed has to be cleared.", "Cancel the print", () => call("/v1/print/cancel")));
  byId("stop").addEventListener("click", () => confirmThen("Emergency stop?", "Heaters and motors go off now. The print cannot be continued, and the printer has to be reset.", "Stop now", () => call("/v1/stop")));
  byId("bed-clear").addEventListener("click", () => confirmThen("Is the bed really clear?", "The next job may start at once, without anybody looking.", "It is clear", () => call("/v1/bed/clear")));
  byId("logout").addEventListener("click", async () => { await call("/logout"); showLogin(); });
  byId("file").addEventListener("change", (event) => { if (event.target.files[0]) send(event.target.files[0]); event.target.value = ""; });
  document.addEventListener("visibilitychange", () => { if (document.hidden) { controller?.abort(); clearTimeout(retry); } else if (document.body.dataset.view !== "login") follow(); });
  window.addEventListener("resize", () => window.drawPlot(byId("plot"), samples));
  follow();
})();
