// Why a job failed, where it is seen first.

import { ask } from "./api.js";
import { fill, h } from "./dom.js";
import { count, some } from "./format.js";

const ASKED = 20;

/** The box at the top of a job's page; `open(chunk)` shows the tasks of a chunk. */
export function fault(id, open) {
  const element = h("div", { class: "problem fault", role: "alert", hidden: true });
  let shown = null;

  async function look(job) {
    const { items } = await ask(`jobs/${id}/tasks?state=failed&limit=${ASKED}`);
    // Others were not run only because this one failed.
    const first = items.find((task) => task.error && !task.cause);
    if (!first || shown !== job.revision) return;
    const { failed, total } = job.chunks;
    fill(element, h("strong", {}, failed ? `${count(failed)} of ${some(total, "chunk")} failed` : "The job failed"), h("span", {}, first.error), " ",
      first.chunk < 0 ? null : h("button", { type: "button", class: "plain", onclick: () => open(first.chunk) }, `Look at chunk ${first.chunk}`));
    element.hidden = false;
  }

  return {
    element,
    take(job) {
      if (job.status !== "failed") {
        element.hidden = true;
        shown = null;
      } else if (shown !== job.revision) {
        shown = job.revision;
        look(job).catch(() => { shown = null; });
      }
    },
  };
}
