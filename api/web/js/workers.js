// Workers: what they are, what they do.

import { ask, follow, post } from "./api.js";
import { dialog, empty, fill, h, pill, problem, progress } from "./dom.js";
import { count, duration } from "./format.js";
import { barred, name } from "./person.js";

const LOOK_MS = 1500;

export function workersPage(page, frame) {
  let workers = [];
  let loaded = false;
  const steps = new Map();
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
    } else fill(list, workers.map((worker) => card(worker, steps, () => decide(worker))));
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
    await Promise.all(running.map(async (name) => {
      const [job, task] = name.split("/");
      try {
        steps.set(name, await ask(`jobs/${job}/tasks/${task}`));
      } catch {
        steps.delete(name); // it has ended in between
      }
    }));
    draw();
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

/** `decide` is called where somebody wants it to end, or to stay. */
function card(worker, steps, decide) {
  const { info } = worker;
  const state = worker.draining ? pill("paused", "draining") : worker.tasks.length ? pill("active", "at work") : pill("idle");
  return h("article", { class: "card worker", data: { worker: worker.id } },
    h("header", {}, h("div", {}, h("h2", {}, worker.id), h("p", { class: "quiet small" }, `${worker.host} · process ${worker.pid}`)), state),
    memory(info),
    h("dl", { class: "facts" },
      fact("Device", worker.device === "cpu" ? "CPU" : worker.device),
      fact("Queues", worker.queues.join(", ")),
      fact("Engine", info.engine),
      fact("Model", (info.models ?? []).join(", ") || null),
      fact("Finished", info.finished === undefined ? null : `${count(info.finished)} tasks`),
      fact("Blocked for", (worker.blocked ?? []).join(", ") || null),
      fact("Speed", info.seconds_per_task ? `${duration(info.seconds_per_task)} per detail task` : null)),
    worker.tasks.length ? worker.tasks.map((name) => running(name, steps.get(name)))
      : h("div", { class: "task quiet" }, worker.draining ? "Ends now." : "Waits for work."),
    leaving(worker, decide));
}

/** Who wants it to end; the button that asks for it, or takes it back. What its machine has told to end, ends. */
function leaving(worker, decide) {
  const { actor, reason } = worker.drain ?? {};
  const told = worker.drain ? `Asked to end by ${actor || "somebody"}${reason ? `: ${reason}` : "."}` : "Its machine has told it to end.";
  const able = worker.drain || !worker.draining;
  return h("footer", { class: "row" }, h("span", { class: "quiet small" }, worker.draining ? told : ""),
    able ? h("button", { type: "button", data: { action: worker.drain ? "undrain" : "drain" }, disabled: Boolean(barred("admin")), title: barred("admin") || null, onclick: decide }, worker.drain ? "Keep it" : "Drain") : null);
}

function running(name, task) {
  const [job, id] = name.split("/");
  const far = task?.steps ? `step ${task.step} of ${task.steps}` : "";
  return h("div", { class: "task" },
    h("div", { class: "row" }, h("a", { href: `/jobs/${job}` }, id), h("span", { class: "quiet small number" }, far)),
    task?.steps ? progress(task.step / task.steps, "active", far) : null,
    h("span", { class: "quiet small" }, job));
}

function memory(info) {
  if (!info.memory_gib) return null;
  const used = info.memory_used_gib ?? 0;
  const text = `${used.toFixed(1)} of ${info.memory_gib.toFixed(1)} GiB in use`;
  return h("div", { class: "far" }, h("div", { class: "row small quiet" }, h("span", {}, "GPU memory"), h("span", { class: "number" }, text)),
    progress(used / info.memory_gib, "active", text));
}

const fact = (name, value) => (value ? [h("dt", {}, name), h("dd", {}, value)] : []);
