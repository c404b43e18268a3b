// Find faces, or what another detector finds: on one frame for now, or in every frame of the job.

import { ask, post } from "./api.js";
import { fill, h, problem } from "./dom.js";
import { percent } from "./format.js";
import { area } from "./shapes.js";

const WAIT_S = 5;
const LOOK_MS = 1000;
const ENDED = ["completed", "failed", "canceled"];
export const FACE = "face";

/** `face` -> `faces`; names of other detectors are anybody's, and stay as they are. */
const many = (detector) => (detector === FACE ? "faces" : `“${detector}”`);

/**
 * Have a worker look at a frame: `{width, height, segs}`, from left to right. Where none has looked soon, it is waited
 * for, and `told(why)` hears why; null once `wanted()` says that nobody waits any more.
 */
export async function look(clip, frame, detector, wanted, told) {
  const first = await post("detect", { uri: clip.uri, frame, detector, wait: WAIT_S });
  if (first.segs) return first;
  for (;;) {
    const job = await ask(first.links.job);
    if (job.status === "completed") break;
    if (ENDED.includes(job.status)) throw new Error(`The look at frame ${frame} has ${job.status}: ${job.activity}`);
    if (!wanted()) {
      await post(`jobs/${first.job}/actions`, { action: "cancel", reason: "nobody waits for it any more" });
      return null;
    }
    told(job.waiting_reason ?? "A worker is at it; the first look takes a while.");
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
  const { header, frames } = await ask(first.links.segs);
  const segs = Object.values(frames).flat().sort((one, other) => one.bbox[0] - other.bbox[0]);
  return { width: header[1], height: header[0], segs };
}

/** A box as it is repainted: what was found, grown, within the frame. */
function box({ bbox: [x1, y1, x2, y2], dilation, label, confidence }, number, clip) {
  const by = Math.max(0, dilation) / 2;
  const within = (value, most) => Math.max(0, Math.min(most, value));
  return { kind: "box", label: String(number), what: label, sure: confidence,
    from: [within(x1 - by, clip.width), within(y1 - by, clip.height)], to: [within(x2 + by, clip.width), within(y2 + by, clip.height)] };
}

/** What was found for one segment. `changed()` is told when boxes are kept, removed, or followed. */
export function findings(clip, drawing, changed) {
  let boxes = [];
  let found = null; // { frame, detector }
  let asked = 0;

  const said = h("div", { role: "status" });
  const hint = h("p", { class: "quiet small" });
  const list = h("ol", { class: "found" });
  const only = h("input", { placeholder: "all", pattern: "\\s*[1-9]\\d*(\\s*[, ]\\s*[1-9]\\d*)*\\s*", title: "Numbers, such as 1, 3", "aria-label": "Only these numbers" });
  const followed = h("input", { type: "checkbox", onchange: () => changed() });
  const follow = h("label", { class: "follow" }, followed, h("span"));
  const numbers = h("div", { class: "only" }, h("label", {}, "Only these numbers", only),
    h("p", { class: "quiet small" }, "Each face keeps one number through the clip; they count by first frame, then from left to right."));
  const element = h("div", { class: "findings", hidden: true }, said, list, hint, follow, numbers);

  function draw() {
    numbers.hidden = !followed.checked;
    list.hidden = followed.checked;
    hint.hidden = followed.checked || !boxes.length;
    for (const [index, row] of [...list.children].entries()) row.querySelector("input").checked = drawing.shapes.includes(boxes[index]);
  }

  function keep(one, kept) {
    if (kept) drawing.add(one);
    else drawing.remove(one);
    changed();
  }

  function row(one) {
    const [, , width, height] = area(one);
    return h("li", {}, h("label", {}, h("input", { type: "checkbox", checked: true, onchange: (event) => keep(one, event.target.checked) }),
      h("b", { class: "number" }, one.label), h("span", {}, one.what), h("span", { class: "quiet small number" }, `${width} × ${height} · ${percent(one.sure)}`)));
  }

  function take(answer, frame, detector) {
    for (const one of boxes) drawing.remove(one);
    boxes = answer.segs.map((seg, index) => box(seg, index + 1, clip));
    for (const one of boxes) drawing.add(one);
    found = { frame, detector };
    fill(list, boxes.map(row));
    fill(said, h("p", { class: "small" }, boxes.length ? `Frame ${frame}: ${boxes.length === 1 ? "1 box" : `${boxes.length} boxes`}.`
      : `No ${many(detector)} in frame ${frame}. Go to a frame where they are larger or turned to the camera, or draw a box by hand.`));
    fill(hint, boxes.length ? "Kept boxes hold for all frames; the tool Move changes them." : "");
    fill(follow.lastChild, `Follow the ${detector === FACE ? "faces" : `finds of “${detector}”`} through the clip`);
    changed();
  }

  return {
    element,
    draw,
    get following() {
      return found !== null && followed.checked;
    },
    valid: () => !followed.checked || only.reportValidity(),
    /** What takes the place of the drawing in a job. On one frame, numbers are others than in the clip. */
    detect(once) {
      const identities = once ? [] : (only.value.match(/\d+/g) ?? []).map(Number);
      return { detector: found.detector, ...(identities.length ? { identities } : {}) };
    },
    /** Look for them on a frame; resolves to how many there are, when that is over. */
    async find(frame, detector) {
      const mine = (asked += 1);
      const waits = () => mine === asked;
      const stop = h("button", { type: "button", class: "plain", onclick: () => { asked += 1; fill(said); element.hidden = !found; } }, "Stop waiting");
      element.hidden = false;
      follow.hidden = !found;
      fill(said, h("p", { class: "small quiet" }, `Looking for ${many(detector)} in frame ${frame}…`));
      try {
        const answer = await look(clip, frame, detector, waits, (why) => (waits() ? fill(said, h("p", { class: "small" }, `No answer yet for frame ${frame}. ${why} `, stop)) : null));
        if (!answer || !waits()) return 0;
        follow.hidden = false;
        take(answer, frame, detector);
        return boxes.length;
      } catch (error) {
        if (waits()) fill(said, problem(error));
        return 0;
      }
    },
    end() {
      asked += 1;
    },
  };
}
