// All jobs, newest first, as they move.

import { ask, follow } from "./api.js";
import { empty, fill, h, pill, problem, progress } from "./dom.js";
import { ago, count, left, percent, some } from "./format.js";
import { lastRendered } from "./last.js";
import { barred } from "./person.js";

const PAGE = 50;
const KINDS = {
  All: () => true,
  Running: (job) => ["queued", "active", "paused", "cancel-requested", "awaiting-approval"].includes(job.status),
  Failed: (job) => job.status === "failed",
  Done: (job) => ["completed", "canceled"].includes(job.status),
};

export function jobsPage(page, frame) {
  const jobs = new Map();
  const rows = new Map();
  let kind = "All";
  let cursor = null;
  let loaded = false;

  const list = h("div", { class: "jobs" });
  const said = h("div");
  const more = h("p", { class: "older", hidden: true }, h("button", { type: "button", onclick: older }, "Older jobs"));
  const tabs = Object.keys(KINDS).map((name) => h("button", { type: "button", onclick: () => choose(name) }, name));
  page.append(
    h("div", { class: "head" }, h("h1", {}, "Jobs"),
      h("div", { class: "tools" }, h("div", { class: "tabs", role: "group", "aria-label": "Which jobs" }, tabs),
        barred("artist") ? null : h("a", { class: "button primary", href: "/submit" }, "New job"))),
    said, list, more);

  function choose(name) {
    kind = name;
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.textContent === name));
    draw();
  }

  function draw() {
    const meant = [...jobs.values()].filter(KINDS[kind]).sort((one, other) => (one.created < other.created ? 1 : -1));
    if (loaded && !meant.length) {
      fill(list, jobs.size ? empty("Nothing here", `No job is under “${kind}” now.`)
        : barred("artist") ? empty("No jobs yet", "They appear here as soon as somebody submits one.") : empty("No jobs yet", ["Drop a clip, draw a box over what should be sharper, and submit. The command line does the same: ", h("code", {}, "farm job submit"), "."],
          h("div", {}, h("a", { class: "button primary", href: "/submit" }, "Make the first job"))));
      return;
    }
    fill(list, meant.map((job) => rows.get(job.id)));
  }

  function take(job) {
    const known = jobs.get(job.id);
    jobs.set(job.id, job);
    if (known) update(rows.get(job.id), job);
    else rows.set(job.id, row(job));
    return !known || known.status !== job.status;
  }

  async function load() {
    try {
      const answer = await ask(`jobs?limit=${PAGE}`);
      loaded = true;
      cursor = answer.next_cursor;
      answer.items.forEach(take);
      fill(said);
    } catch (error) {
      fill(said, problem(error));
    }
    more.hidden = cursor === null;
    draw();
  }

  async function older() {
    const answer = await ask(`jobs?limit=${PAGE}&cursor=${cursor}`);
    cursor = answer.next_cursor;
    more.hidden = cursor === null;
    answer.items.forEach(take);
    draw();
  }

  choose("All");
  load();
  const end = follow(`feed?limit=${PAGE}`, {
    "job.status": (job) => {
      loaded = true;
      if (take(job)) draw();
    },
  }, (holds) => {
    frame.line(holds);
    if (holds && !loaded) load();
  });
  return { leave: end, keys: [["Tab", "Next job"], ["Enter", "Open it"]] };
}

function row(job) {
  const made = h("a", { class: "card job", href: `/jobs/${job.id}`, data: { job: job.id } },
    h("div", { class: "picture" }), h("div", { class: "what" }), h("div", { class: "far" }), h("div", { class: "state" }));
  update(made, job);
  return made;
}

function update(made, job) {
  const [frame, what, far, state] = made.children;
  const share = job.frames.total ? job.frames.done / job.frames.total : 0;
  lastRendered(frame, job);
  const meta = [job.type, some(job.frames.total, "frame"), job.user, ago(job.created)].filter(Boolean).join(" · ");
  fill(what, h("p", { class: "name" }, job.name || job.id), h("p", { class: "quiet" }, meta),
    h("p", { class: "quiet small" }, told(job)));
  fill(far,
    h("div", {}, h("span", { class: "share number" }, percent(share)), h("span", { class: "quiet number" }, left(job.eta))),
    progress(share, job.status, `${job.frames.done} of ${job.frames.total} frames`),
    h("div", { class: "quiet small number" }, `${count(job.frames.done)} of ${some(job.frames.total, "frame")}`));
  fill(state, pill(job.status));
}

/** Why it does not move, or what it did last; the pill tells the rest. */
const told = (job) => job.waiting_reason ?? (job.activity === job.status ? "" : job.activity);
