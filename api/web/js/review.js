// What a job that waits for approval has made so far, to be looked at before somebody decides.

import { ROOT } from "./api.js";
import { fill, h, picture } from "./dom.js";
import { count, some } from "./format.js";

const WIDTH = 320;
const SHOWN = 24;

/** The first chunks' pictures; `go(index)` shows a frame large, with before and after. */
export function review(id, go) {
  const list = h("div", { class: "pictures-list" });
  const head = h("p", { class: "quiet" });
  const element = h("section", { class: "card review", hidden: true, "aria-label": "To be approved" },
    h("header", {}, h("div", {}, h("h2", {}, "Is this what you meant?"), head)), list);
  let shown = "";

  function shot(number, index) {
    const frame = h("span", { class: "frame-of" });
    picture(`${ROOT}/jobs/${id}/frames/${number}/preview?of=final&width=${WIDTH}`, { wanted: () => frame.isConnected, there: (image) => {
      image.alt = `Frame ${number}, after`;
      fill(frame, image);
    } });
    return h("button", { type: "button", onclick: () => go(index) }, frame, h("span", { class: "quiet small number" }, `Frame ${number}`));
  }

  return {
    element,
    take(job, map) {
      element.hidden = job.status !== "awaiting-approval";
      if (element.hidden) return;
      const done = [...map.states].flatMap((state, chunk) => (state === "d" ? [chunk] : []));
      const key = done.join();
      if (key === shown) return;
      shown = key;
      fill(head, `${count(done.length)} of ${some(map.count, "chunk")} made. Approve, and the others are made the same way; reject, and the job ends here.${done.length > SHOWN ? ` Of these, ${SHOWN}:` : ""}`);
      const every = Math.max(1, Math.ceil(done.length / SHOWN));
      // Of each chunk the middle: its ends are blended with its neighbors'.
      fill(list, done.filter((_, order) => order % every === 0).map((chunk) => {
        const [first, end] = map.range(chunk);
        const index = Math.floor((first + end - 1) / 2);
        return shot(map.number(index), index);
      }));
    },
  };
}
