// What stands behind a cell of the grid: its tasks, their attempts, what went wrong.

import { ask, post } from "./api.js";
import { WORDS } from "./chunks.js";
import { fill, h, pill, problem, progress } from "./dom.js";
import { clock, duration } from "./format.js";
import { barredFrom } from "./person.js";

const LOOK_MS = 1500;
const ORDER = ["failed", "soft-failed", "active", "queued", "depend", "eaten", "canceled", "completed"];

/** The drawer of a job; `known` is what the farm can do. */
export function drawer({ id: job, user }, known, go) {
  let map = null;
  let what = null;
  const logs = new Map(); // task -> what its workers said, of those that are open
  let before = null;
  const title = h("h2", { tabindex: -1 });
  const body = h("div", { class: "task-list" });
  const element = h("aside", { class: "drawer", hidden: true, "aria-label": "Tasks of a chunk" },
    h("header", {}, title, h("button", { class: "icon", type: "button", "aria-label": "Close", onclick: close }, "✕")), body);
  element.style.rowGap = "16px";
  const timer = setInterval(() => (what && !document.hidden ? load() : null), LOOK_MS);

  function close() {
    what = null;
    element.hidden = true;
    before?.focus();
  }

  async function load() {
    const [chunk, source] = what;
    try {
      const answer = await ask(`jobs/${job}/tasks?chunk=${chunk}${source ? `&layer=${encodeURIComponent(`detail:${source}`)}` : ""}`);
      if (what?.[0] === chunk && what?.[1] === source) draw(answer.items);
    } catch (error) {
      fill(body, problem(error));
    }
  }

  /** Open what the task's workers said, or close it. */
  async function read(task) {
    if (!logs.delete(task)) {
      try {
        logs.set(task, (await ask(`jobs/${job}/tasks/${task}/log`)).items);
      } catch (error) {
        body.prepend(problem(error));
        return;
      }
    }
    if (what) load();
  }

  function draw(tasks) {
    const [chunk] = what;
    const [first, end] = map.range(chunk);
    const frames = h("p", { class: "quiet" }, `Frames ${map.number(first)} to ${map.number(end - 1)} · ${WORDS[map.states[chunk]]} `,
      h("button", { class: "plain", type: "button", onclick: () => go(first) }, "show"));
    const failed = tasks.filter((task) => task.state === "failed");
    tasks.sort((one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state));
    const nothing = { d: "All of it ended well, and its tasks were put away.", q: "Its tasks come when the chunk enters the window." };
    fill(body, frames,
      failed.length && !barredFrom({ user }) ? h("p", {}, decide("retry", "Try again"), " ", known.actions.has("eat") ? decide("eat", "Keep the original pixels") : null) : null,
      tasks.length ? tasks.map((task) => card(task, logs.get(task.id), () => read(task.id))) : h("p", { class: "quiet" }, nothing[map.states[chunk]] ?? "It has no such task."));
    body.style.display = "grid";
    body.style.gap = "16px";

    function decide(action, text) {
      return h("button", { type: "button", class: action === "retry" ? "primary" : "", onclick: async () => {
        try {
          // A failed task has taken others with it, so the chunk is meant as a whole.
          await post(`jobs/${job}/actions`, { action, filter: { chunk } });
          load();
        } catch (error) {
          body.prepend(problem(error));
        }
      } }, text);
    }
  }

  return {
    element,
    open(chunk, source) {
      before = document.activeElement;
      what = [chunk, source];
      title.textContent = `Chunk ${chunk}${source ? ` · ${source}` : ""}`;
      element.hidden = false;
      fill(body, h("p", { class: "quiet" }, "Looking…"));
      title.focus();
      load();
    },
    take(found) {
      map = found;
    },
    press(event) {
      if (event.key !== "Escape" || !what) return false;
      close();
      return true;
    },
    end() {
      clearInterval(timer);
      element.remove();
    },
  };
}

/** `said` are the logs of its attempts, if they are open; `read` opens and closes them. */
function card(task, said, read) {
  const share = task.steps ? task.step / task.steps : 0;
  return h("article", { class: "task-card", data: { task: task.id, state: task.state } },
    h("header", {}, h("span", {}, h("b", {}, task.kind), " ", h("code", { class: "quiet" }, task.id)), pill(task.state)),
    task.state === "active" && task.steps ? progress(share, "active", `step ${task.step} of ${task.steps}`) : null,
    h("p", { class: "quiet small" }, [task.attempt ? `attempt ${task.attempt}` : "not begun", task.worker && `on ${task.worker}`,
      task.steps ? `step ${task.step} of ${task.steps}` : ""].filter(Boolean).join(" · ")),
    task.error ? h("p", { class: "error" }, task.error) : null,
    task.cause ? h("p", { class: "quiet small" }, "Not run, since another failed: ", h("code", {}, task.cause)) : null,
    task.history.length ? h("div", {}, task.history.map((attempt, number) => tried(attempt, number + 1, task.error))) : null,
    task.history.length ? h("p", {}, h("button", { type: "button", class: "plain", "aria-expanded": String(Boolean(said)), onclick: read }, said ? "Hide log" : "Log")) : null,
    said && !said.length ? h("p", { class: "quiet small" }, "No log was kept: no attempt ended badly, or its worker died.") : null,
    (said ?? []).map(spoken));
}

/** What the worker of one attempt said. */
function spoken(log) {
  const lines = log.lines.map(({ timestamp, level, event, exception, ...more }) =>
    [(timestamp ?? "").slice(11, 23), level, event, ...Object.entries(more).map(([name, value]) => `${name}=${value}`), exception ? `\n${exception}` : ""].join(" "));
  const cut = log.left_out ? [`… ${log.left_out} lines before`] : [];
  return h("div", {}, h("p", { class: "quiet small" }, `Attempt ${log.attempt} by ${log.worker}: ${log.outcome}`),
    h("pre", { class: "log", tabindex: 0 }, [...cut, ...lines].join("\n")));
}

function tried(attempt, number, shown) {
  const [begun, over] = [attempt.started, attempt.ended];
  const took = begun && over ? duration(over - begun) : "";
  const when = begun ? clock(new Date(begun * 1000).toISOString()) : "";
  return h("div", { class: "attempt" },
    h("span", { class: "quiet number" }, String(number)),
    h("span", {}, [attempt.worker, when].filter(Boolean).join(" · ")),
    h("span", { class: "quiet number" }, [attempt.outcome ?? "runs", took].filter(Boolean).join(", ")),
    attempt.error && attempt.error !== shown ? h("p", { class: "error" }, attempt.error) : null);
}
