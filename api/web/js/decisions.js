// What can be done with a job as it stands, of what this farm knows.

import { ROOT, ask, post } from "./api.js";
import { dialog, fill, h, problem } from "./dom.js";
import { bytes } from "./format.js";
import { barredFrom } from "./person.js";

const ENDED = new Set(["completed", "failed", "canceled"]);

/** Name, word and whether the job's state allows it. */
const BUTTONS = [
  ["approve", "Approve", (job) => job.status === "awaiting-approval", "primary"],
  ["reject", "Reject", (job) => job.status === "awaiting-approval", "danger"],
  ["pause", "Pause", (job) => ["queued", "active"].includes(job.status), ""],
  ["resume", "Resume", (job) => job.status === "paused", "primary"],
  ["retry", "Retry", (job) => job.counts.failed + job.counts.canceled > 0 && job.status !== "cancel-requested", "primary"],
  ["unblock", "Unblock workers", (job) => job.blocked?.length > 0, ""],
  ["cancel", "Cancel", (job) => !ENDED.has(job.status) && !["cancel-requested", "awaiting-approval"].includes(job.status), "danger"],
];
const EXPLAINED = {
  reject: "The job ends here. Frames that are finished stay; Retry opens it again.",
  cancel: "Running work is stopped. Frames that are finished stay, and Retry goes on from there.",
};

/** The buttons of a job. `known` is what the farm can do, `told` is given errors. */
export function decisions(id, known, told) {
  const element = h("div", { class: "tools" });
  let shown = "";

  async function act(action, reason = "") {
    try {
      if (action === "reject") await post(`jobs/${id}/reject`, { reason });
      else await post(`jobs/${id}/actions`, { action, reason });
      told(null);
    } catch (error) {
      told(error);
    }
  }

  function confirm(action, word) {
    const reason = h("input", { id: "reason", maxlength: 500 });
    const asked = dialog(`${word} this job?`, h("form", { onsubmit: (event) => {
      event.preventDefault();
      asked.close();
      act(action, reason.value);
    } }, h("p", { class: "quiet" }, EXPLAINED[action]), h("div", {}, h("label", { for: "reason" }, "Why (kept with the job)"), reason),
    h("div", { class: "tools" }, h("button", { type: "button", onclick: () => asked.close() }, "Back"),
      h("button", { type: "submit", class: "primary" }, word))));
  }

  function reorder(priority) {
    const wanted = h("input", { type: "number", id: "priority", min: 0, max: 100, value: priority, required: true });
    const asked = dialog("Priority", h("form", { onsubmit: async (event) => {
      event.preventDefault();
      asked.close();
      try {
        await ask(`jobs/${id}`, { method: "PATCH", json: { priority: Number(wanted.value) } });
        told(null);
      } catch (error) {
        told(error);
      }
    } }, h("div", {}, h("label", { for: "priority" }, "From 0 to 100; larger is served first"), wanted),
    h("div", { class: "tools" }, h("button", { type: "button", onclick: () => asked.close() }, "Back"), h("button", { type: "submit", class: "primary" }, "Change"))));
  }

  return {
    element,
    take(job) {
      const barred = barredFrom(job);
      const able = (name) => known.actions.has(name) || (name === "reject" && known.reject);
      const now = barred ? [] : BUTTONS.filter(([name, , allowed]) => able(name) && allowed(job));
      const hurry = !barred && known.priority && !ENDED.has(job.status);
      const key = `${now.map(([name]) => name)}${job.chunks.done > 0}${hurry}${job.priority}`;
      if (key === shown) return;
      shown = key;
      fill(element, barred ? h("p", { class: "quiet small barred" }, barred) : null, hurry ? h("button", { type: "button", data: { action: "priority" }, onclick: () => reorder(job.priority) }, `Priority ${job.priority}`) : null, now.map(([name, word, , look]) => h("button", { type: "button", class: look, data: { action: name },
        onclick: () => (EXPLAINED[name] ? confirm(name, word) : act(name)) }, word)),
      job.chunks.done > 0 ? h("button", { type: "button", onclick: () => downloads(id) }, "Download") : null);
    },
  };
}

async function downloads(id) {
  const list = h("div", { class: "stack" }, h("p", { class: "quiet" }, "Looking…"));
  const opened = dialog("Download", list);
  try {
    const { files } = await ask(`jobs/${id}/outputs?limit=1&since=`);
    // Videos and documents come with the last page of frames; asked for by name they are there at once.
    const found = files.length ? files : await named(id);
    fill(list,
      found.length ? h("ul", { class: "stack" }, found.map((file) => h("li", {}, h("a", { href: file.url, download: file.path }, file.path), " ",
        h("span", { class: "quiet small number" }, bytes(file.size)))))
        : h("p", { class: "quiet" }, "The video, the segments and the manifest come when the job has ended."),
      h("p", { class: "quiet" }, "All frames, also while the job runs:"), h("code", {}, `farm job download ${id} out/`),
      h("div", { class: "tools" }, h("button", { type: "button", onclick: () => opened.close() }, "Close")));
  } catch (error) {
    fill(list, problem(error));
  }
}

async function named(id) {
  const found = [];
  for (const path of ["video.mp4", "segs.json", "manifest.json"]) {
    const url = `${ROOT}/jobs/${id}/outputs/${path}`;
    const answer = await fetch(url, { method: "HEAD" });
    if (answer.ok) found.push({ path, url, size: Number(answer.headers.get("content-length")) });
  }
  return found;
}
