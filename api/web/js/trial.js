// The parameters on one frame: a job of one frame that goes before all others.

import { ROOT, follow, post } from "./api.js";
import { compare } from "./compare.js";
import { fill, h, pill, problem, progress } from "./dom.js";
import { duration } from "./format.js";

const FIRST_OF_ALL = 100;
const WIDTH = 1280;
const ENDED = ["completed", "failed", "canceled"];

/** Where trials are shown. `clip` is the upload. */
export function trial(clip) {
  let end = () => {};
  const pair = compare(clip.width / clip.height);
  const head = h("header", {});
  const said = h("div", { class: "said" });
  const element = h("section", { class: "card trial", hidden: true, "aria-label": "Trial" }, head,
    said, h("div", { class: "compare" }, pair.pictures), h("div", { class: "controls" }, pair.slider));
  const parts = [...element.children].slice(2);

  function state(text, word) {
    fill(head, h("h2", {}, "Trial"), h("span", { class: "quiet" }, text), h("span", { class: "stretch" }), word ? pill(word) : null);
  }

  return {
    element,
    /** Try a submission on one frame; resolves when it has ended. */
    async run(request, number) {
      end();
      element.hidden = false;
      fill(said);
      for (const part of parts) part.hidden = true;
      state(`frame ${number}`, "queued");
      element.scrollIntoView({ block: "nearest", behavior: "smooth" });
      const begun = performance.now();
      try {
        const one = { ...request, name: `Trial: ${request.name || clip.name}, frame ${number}`.slice(0, 200), input: { ...request.input, frames: `${number}-${number}` }, outputs: [], priority: FIRST_OF_ALL };
        const job = await post("jobs", one);
        await new Promise((done) => {
          end = follow(`jobs/${job.id}/events`, { "job.status": (now) => {
            state(`frame ${number} · ${duration((performance.now() - begun) / 1000)}`, now.status);
            const total = now.tasks || 1;
            fill(said, ENDED.includes(now.status) ? [] : [progress(now.counts.completed / total, now.status, "Trial"), h("p", { class: "quiet small" }, now.waiting_reason ?? now.activity)]);
            if (!ENDED.includes(now.status)) return;
            end();
            if (now.status === "completed") {
              for (const part of parts) part.hidden = false;
              pair.show(`${ROOT}/uploads/${clip.id}/preview?number=${number}&width=${WIDTH}`, `${ROOT}/jobs/${job.id}/frames/${number}/preview?of=final&width=${WIDTH}`);
            } else fill(said, h("p", { class: "problem" }, h("strong", {}, `The trial has ${now.status}`), h("a", { href: `/jobs/${job.id}` }, "See why")));
            done();
          } });
        });
      } catch (error) {
        state(`frame ${number}`, "failed");
        fill(said, problem(error));
      }
    },
    end: () => end(),
  };
}
