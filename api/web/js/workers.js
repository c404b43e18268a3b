// Workers: what they are, what they do.

import { ask, follow, post } from "./api.js";
import { dialog, empty, fill, h, pill, problem, progress } from "./dom.js";
import { count, duration, some } from "./format.js";
import { lastRendered } from "./last.js";
import { barred, name } from "./person.js";

const LOOK_MS = 1500;
const JOB_MS = 6000;
const FEW = 3; // queues that stand beside other facts

export function workersPage(page, frame) {
  let workers = [];
  let loaded = false;
  const steps = new Map();
  const jobs = new Map(); // id -> the job as it was when last looked at
  const frames = new Map(); // worker and job -> its picture, which outlives the card around it
  const summary = h("div", { class: "summary" });
  const list = h("div", { class: "workers" });
  const said = h("div");
  page.append(h("div", { class: "head" }, h("h1", {}, "Workers"), barred("admin") ? h("p", { class: "quiet small" }, `Draining workers is for admins; you are ${name()}.`) : null), said, summary, list);

  function draw() {
    const busy = workers.filter((worker) => worker.tasks.length > 0).length;
    const gpus = workers.filter((worker) => worker.device !== "cpu").length;
    fill(summary, figure(workers.length, "alive"), figure(busy, "at work"), figure(gpus, "with a GPU"));
    summary.hidden = !workers.length;
    if (loaded && !workers.length) {
      fill(list, empty("No workers are alive", ["Start one on any machine that reaches Redis and the store: ", h("code", {}, "farm worker"), ". On one machine, ", h("code", {}, "farm up"), " starts some by itself."]));
    } else fill(list, workers.map((worker) => card(worker, (name) => task(worker, name), () => decide(worker))));
  }

  /** What a worker does: for people the job and its last picture, for the engineer the task. */
  function task(worker, name) {
    const id = name.split("/")[0];
    const key = `${worker.id}\n${id}`;
    const job = jobs.get(id)?.job;
    if (!frames.has(key)) frames.set(key, h("div", { class: "picture" }));
    if (job) lastRendered(frames.get(key), job);
    return running(name, steps.get(name), job, frames.get(key));
  }

  async function act(worker, verb, json) {
    try {
      const answer = await post(`workers/${encodeURIComponent(worker.id)}/${verb}`, json);
      fill(said);
      take(workers.map((one) => (one.id === answer.id ? { ...answer, blocked: one.blocked } : one)));
    } catch (error) {
      fill(said, problem(error));
    }
  }

  /** A wish may be taken back at once; that a worker ends is asked for twice. */
  function decide(worker) {
    if (worker.drain) {
      act(worker, "undrain");
      return;
    }
    const reason = h("input", { id: "reason", maxlength: 500 });
    const left = worker.tasks.length ? "It finishes what it runs, or hands it back when its time is over, takes nothing more, and ends." : "It takes nothing more, and ends.";
    const asked = dialog(`Drain ${worker.id}?`, h("form", { onsubmit: (event) => {
      event.preventDefault();
      asked.close();
      act(worker, "drain", { reason: reason.value });
    } }, h("p", { class: "quiet" }, `${left} Nothing is lost; start it anew to have it back.`),
    h("div", {}, h("label", { for: "reason" }, "Why (shown with the worker)"), reason),
    h("div", { class: "tools" }, h("button", { type: "button", onclick: () => asked.close() }, "Back"),
      h("button", { type: "submit", class: "danger" }, "Drain"))));
  }

  function take(found) {
    workers = found;
    loaded = true;
    draw();
    look();
  }

  /** Steps change many times a second and are no event: they are looked up for what is on the screen. */
  async function look() {
    const running = [...new Set(workers.flatMap((worker) => worker.tasks))].slice(0, 32);
    const now = performance.now();
    const old = [...new Set(running.map((name) => name.split("/")[0]))].filter((id) => now - (jobs.get(id)?.at ?? -JOB_MS) >= JOB_MS);
    for (const id of old) jobs.set(id, { job: jobs.get(id)?.job, at: now });
    await Promise.all([...old.map(async (id) => {
      const job = await ask(`jobs/${id}`).catch(() => null);
      if (job) jobs.set(id, { job, at: now });
    }), ...running.map(async (name) => {
      const [job, task] = name.split("/");
      try {
        steps.set(name, await ask(`jobs/${job}/tasks/${task}`));
      } catch {
        steps.delete(name); // it has ended in between
      }
    })]);
    forget(running);
    draw();
  }

  /** A page that stays open for weeks holds what is on it. */
  function forget(running) {
    const ids = new Set(running.map((name) => name.split("/")[0]));
    const held = [[steps, (name) => running.includes(name)], [jobs, (id) => ids.has(id)], [frames, (key) => ids.has(key.split("\n")[1])]];
    for (const [map, wanted] of held) for (const key of [...map.keys()]) if (!wanted(key)) map.delete(key);
  }

  ask("workers").then((answer) => take(answer.items), (error) => fill(said, problem(error)));
  const end = follow("feed?limit=1", { workers: take }, frame.line);
  const timer = setInterval(() => (document.hidden ? null : look()), LOOK_MS);
  return {
    leave() {
      end();
      clearInterval(timer);
    },
  };
}

const figure = (number, text) => h("div", {}, h("b", { class: "number" }, count(number)), h("span", {}, text));

/** `task` shows what it runs, by name; `decide` is called where somebody wants it to end, or to stay. */
function card(worker, task, decide) {
  const { info } = worker;
  const state = worker.draining ? pill("paused", "draining") : worker.tasks.length ? pill("active", "at work") : pill("idle");
  return h("article", { class: "card worker", data: { worker: worker.id } },
    h("header", {}, h("div", {}, h("h2", {}, worker.id), h("p", { class: "quiet small" }, `${worker.host} · process ${worker.pid}`)), state),
    memory(info),
    h("dl", { class: "about" },
      fact("Device", worker.device === "cpu" ? "CPU" : worker.device),
      fact("Engine", info.engine),
      fact("Model", (info.models ?? []).join(", ") || null),
      fact("Queues", worker.queues.join(", "), worker.queues.length > FEW),
      fact("Blocked for", (worker.blocked ?? []).join(", ") || null)),
    worker.tasks.length ? worker.tasks.map(task)
      : h("div", { class: "task quiet" }, worker.draining ? "Ends now." : "Waits for work."),
    leaving(worker, decide));
}

/** Who wants it to end; the button that asks for it, or takes it back. What its machine has told to end, ends. */
function leaving(worker, decide) {
  const { actor, reason } = worker.drain ?? {};
  const { finished, seconds_per_task: each } = worker.info;
  const done = [finished === undefined ? "" : `${some(finished, "task")} finished`, each ? `${duration(each)} per detail task` : ""].filter(Boolean).join(" · ");
  const told = worker.drain ? `Asked to end by ${actor || "somebody"}${reason ? `: ${reason}` : "."}` : "Its machine has told it to end.";
  const able = worker.drain || !worker.draining;
  return h("footer", { class: "row" }, h("div", { class: "quiet small" }, h("p", { class: "number" }, done), worker.draining ? h("p", {}, told) : null),
    able ? h("button", { type: "button", data: { action: worker.drain ? "undrain" : "drain" }, disabled: Boolean(barred("admin")), title: barred("admin") || null, onclick: decide }, worker.drain ? "Keep it" : "Drain") : null);
}

function running(name, task, job, frame) {
  const [of, id] = name.split("/");
  const far = task?.steps ? `step ${task.step} of ${task.steps}` : "";
  const source = task?.layer?.split(":")[1];
  const what = task ? [task.kind, source, task.chunk < 0 ? "" : `chunk ${task.chunk}`].filter(Boolean).join(" · ") : id;
  return h("a", { class: "task at-work", href: `/jobs/${of}`, title: `${of}, task ${id}` }, frame,
    h("div", { class: "doing" }, h("p", { class: "name" }, job?.name || of),
      h("div", { class: "row quiet small" }, h("span", {}, what), h("span", { class: "number" }, far)),
      progress(task?.steps ? task.step / task.steps : 0, "active", far || what)));
}

function memory(info) {
  if (!info.memory_gib) return null;
  const used = info.memory_used_gib ?? 0;
  const text = `${used.toFixed(1)} of ${info.memory_gib.toFixed(1)} GiB in use`;
  return h("div", { class: "far" }, h("div", { class: "row small quiet" }, h("span", {}, "GPU memory"), h("span", { class: "number" }, text)),
    progress(used / info.memory_gib, "active", text));
}

const fact = (name, value, wide = false) => (value ? h("div", { class: wide ? "wide" : "" }, h("dt", {}, name), h("dd", {}, value)) : null);
