"use strict";

const REFRESH_MS = 2000;
const PAGE = 25;
const KEY = "farm-api-key"; // kept for this tab only

const at = (id) => document.getElementById(id);
let shown = PAGE;

/** An element with text in it; names come from strangers, so they are never read as markup. */
function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function ask(path) {
  const key = sessionStorage.getItem(KEY);
  const answer = await fetch(path, { headers: key ? { Authorization: `Bearer ${key}` } : {} });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail || answer.statusText), { status: answer.status });
  return body;
}

function row(job) {
  const line = element("tr");
  const name = element("td", job.name || job.id, "name");
  name.append(element("small", job.id));
  const state = element("td");
  state.append(element("span", job.status, `state ${job.status}`));
  const frames = element("td");
  const bar = element("progress");
  bar.max = job.frames.total;
  bar.value = job.frames.done;
  bar.setAttribute("aria-label", `${job.frames.done} of ${job.frames.total} frames`);
  const left = job.eta ? `, ${duration(job.eta.seconds)} left` : "";
  frames.append(bar, element("div", `${job.frames.done} of ${job.frames.total}${left}`, "quiet"));
  const change = element("td", job.activity);
  if (job.waiting_reason) change.append(element("div", job.waiting_reason, "quiet"));
  line.append(name, element("td", job.type), state, frames, change);
  return line;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

async function refresh() {
  try {
    const [jobs, workers] = await Promise.all([ask(`/api/v1/jobs?limit=${shown}`), ask("/api/v1/workers")]);
    at("jobs").replaceChildren(...jobs.items.map(row));
    at("empty").hidden = jobs.items.length > 0;
    at("more").hidden = jobs.next_cursor === null || shown >= 500;
    at("key").hidden = true;
    const busy = workers.items.filter((worker) => worker.tasks.length > 0).length;
    at("summary").textContent = `${workers.items.length} workers alive, ${busy} at work`;
  } catch (error) {
    at("summary").textContent = error.message;
    at("key").hidden = error.status !== 401;
  }
  setTimeout(refresh, document.hidden ? 5 * REFRESH_MS : REFRESH_MS);
}

at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("key-text").value);
  at("key-text").value = "";
});
at("more").addEventListener("click", () => { shown += PAGE; });
refresh();
