// The last picture that a job has made.

import { ROOT } from "./api.js";
import { fill, h, picture } from "./dom.js";

const WIDTH = 256;

/** Bring `frame` up to date for a job; the next picture takes the place of the last one when it is there. */
export function lastRendered(frame, job) {
  const { id, chunks: { done } } = job;
  if (!done && !frame.hasChildNodes()) fill(frame, h("span", { class: "small" }, "no frame yet"));
  const shown = `${ROOT}/jobs/${id}/last-rendered?width=${WIDTH}&of=${done}`;
  if (!done || frame.dataset.of === shown) return;
  frame.dataset.of = shown;
  picture(shown, { wanted: () => frame.dataset.of === shown, there: (image) => {
    image.alt = "";
    fill(frame, image);
  } });
}
