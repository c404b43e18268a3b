// The frames of a job in a row, each with its picture and its state.

import { ROOT } from "./api.js";
import { WORDS } from "./chunks.js";
import { h, picture } from "./dom.js";
import { Track } from "./track.js";

const WIDTH = 128;
const THUMB = 240;

/** The strip; `choose(index)` is called when a frame is clicked. */
export function strip(job, choose, seen) {
  let map = null;
  let current = -1;

  const track = new Track({
    width: WIDTH,
    label: "Frames",
    className: "strip",
    make: (index) => h("button", { class: "frame", type: "button", tabindex: -1, onclick: () => choose(index) },
      h("span", { class: "thumb" }), h("span", { class: "label" }, h("i", { class: "dot" }), h("span", { class: "number" }))),
    update,
    seen,
  });

  function update(item, index) {
    const state = map.state(index);
    const number = map.number(index);
    const here = index === current;
    if (here) item.setAttribute("aria-current", "true");
    else item.removeAttribute("aria-current");
    item.tabIndex = here ? 0 : -1;
    const of = state === "d" ? "final" : map.decoded(index) ? "input" : "";
    const key = `${number}${state}${of}`;
    if (item.dataset.key === key) return;
    item.dataset.key = key;
    item.dataset.state = WORDS[state];
    item.setAttribute("aria-label", `Frame ${number}, ${WORDS[state]}`);
    const [thumb, label] = item.children;
    label.firstChild.className = `dot is-${state}`;
    label.lastChild.textContent = number;
    if (!of || thumb.dataset.of === of) return;
    thumb.dataset.of = of;
    const address = `${ROOT}/jobs/${job}/frames/${number}/preview?of=${of}&width=${THUMB}`;
    picture(address, {
      priority: "low",
      wanted: () => thumb.isConnected && thumb.dataset.of === of,
      there: (image) => {
        image.alt = "";
        thumb.replaceChildren(image);
      },
    });
  }

  return {
    element: track.element,
    /** Show a new map. */
    take(found) {
      map = found;
      track.resize(map.frames);
      track.later();
    },
    /** Mark a frame and bring it into view. */
    show(index) {
      current = index;
      track.reveal(index);
      track.later();
    },
    scrollTo(index) {
      track.element.scrollLeft = index * WIDTH - track.element.clientWidth / 2;
    },
    end: () => track.end(),
  };
}
