// One frame, before and after, with its segments drawn over it.

import { ROOT, ask } from "./api.js";
import { WORDS } from "./chunks.js";
import { compare } from "./compare.js";
import { fill, h } from "./dom.js";

const WIDTH = 1600;
const STEP = 2;
const LINES = 36; // of text in the height of a picture
const READABLE = 11; // pixels of the screen
const NOT_YET = { f: "This chunk failed before its frames were decoded. Its tasks tell why." };

/** The viewer; `size` is the clip's in pixels. `go(index)` moves to another frame, `open(chunk, source)` shows tasks. */
export function viewer(job, size, { go, open }) {
  let map = null;
  let current = -1;
  let key = "";
  let asked = null;
  let drawn = true;

  const regions = h("svg:svg", { viewBox: `0 0 ${size[0]} ${size[1]}`, "aria-hidden": "true" });
  const pair = compare(size[0] / size[1], regions);
  const none = h("p", { class: "none", hidden: true });
  const toggle = h("button", { type: "button", "aria-pressed": "true", onclick: shade }, "Segments");
  const number = h("input", { type: "number", "aria-label": "Frame number", onchange: () => go(map.index(Number(number.value))) });
  const side = h("aside", { class: "side", "aria-label": "This frame" });
  const element = h("section", { class: "card look", "aria-label": "One frame" },
    h("div", { class: "viewer" },
      h("div", { class: "compare" }, pair.pictures, none),
      h("div", { class: "controls" },
        h("button", { class: "icon", type: "button", "aria-label": "Frame before", onclick: () => go(current - 1) }, "←"),
        number,
        h("button", { class: "icon", type: "button", "aria-label": "Next frame", onclick: () => go(current + 1) }, "→"),
        pair.slider, toggle)),
    side);

  function shade() {
    drawn = !drawn;
    toggle.setAttribute("aria-pressed", String(drawn));
    regions.style.display = drawn ? "" : "none";
  }

  async function load() {
    asked?.abort();
    asked = new AbortController();
    const state = map.state(current);
    pictures(state);
    try {
      draw(await ask(`jobs/${job}/frames/${map.number(current)}`, { signal: asked.signal }), state);
    } catch (error) {
      if (error.name !== "AbortError") fill(side, h("p", { class: "quiet" }, error.message));
    }
  }

  const address = (frame) => `${ROOT}/jobs/${job}/frames/${frame}/preview?width=${WIDTH}&of=`;

  /** The pictures are asked for at once, before anything else is known of the frame. */
  function pictures(state) {
    const from = address(map.number(current));
    const there = map.decoded(current);
    fill(regions);
    none.hidden = there;
    none.textContent = NOT_YET[state] ?? "Not decoded yet. It comes when its chunk enters the window.";
    pair.pictures.hidden = !there;
    if (there) pair.show(`${from}input`, state === "d" ? `${from}final` : null);
  }

  function draw(frame, state) {
    const has = { input: Boolean(frame.links.input), final: Boolean(frame.links.final) };
    const names = named(frame.segments);
    const letters = Math.max(size[1] / LINES, READABLE * size[0] / (pair.pictures.clientWidth || size[0]));
    fill(regions, frame.segments.map((segment, order) => box(segment, order, names[order], letters)));
    fill(side, h("div", {}, h("h2", { class: "number" }, `Frame ${frame.number}`), h("p", { class: "quiet" }, frame.name || "not decoded yet")),
      h("dl", { class: "facts" }, h("dt", {}, "State"), h("dd", {}, WORDS[state]), h("dt", {}, "Chunk"),
        h("dd", {}, h("button", { class: "plain link", type: "button", onclick: () => open(frame.chunk, "") }, String(frame.chunk)))),
      h("div", {}, h("h3", {}, `Segments (${frame.segments.length})`),
        frame.segments.length ? h("ol", {}, frame.segments.map((segment, order) => line(segment, order, names[order], frame)))
          : h("p", { class: "quiet" }, has.input ? "Nothing is repainted in this frame." : "Known once it is planned.")),
      has.final ? h("p", {}, h("a", { href: frame.links.final, download: frame.name }, "Download this frame")) : null);
  }

  function line(segment, order, name, frame) {
    const [x1, y1, x2, y2] = segment.region;
    const light = (lit) => () => regions.querySelector(`[data-order="${order}"]`)?.classList.toggle("lit", lit);
    const over = { onpointerenter: light(true), onpointerleave: light(false), onfocus: light(true), onblur: light(false) };
    return h("li", {}, h("button", { type: "button", onclick: () => open(frame.chunk, segment.source), ...over },
      h("span", { class: "crop" }, cut(segment.region, `${address(frame.number)}${frame.links.final ? "final" : "input"}`)),
      h("span", { class: "row" }, h("span", { class: "name", title: name }, name), h("span", { class: "quiet small number" }, `${x2 - x1} × ${y2 - y1}`))));
  }

  /** A part of a picture that the viewer shows anyway, so that it is not asked for again. */
  function cut([x1, y1, x2, y2], from) {
    const [width, height] = [x2 - x1, y2 - y1];
    const share = (at, free) => `${free > 0 ? (at / free) * 100 : 0}%`;
    return h("i", { style: { "background-image": `url("${from}")`, "background-size": `${(size[0] / width) * 100}% ${(size[1] / height) * 100}%`,
      "background-position": `${share(x1, size[0] - width)} ${share(y1, size[1] - height)}`, "aspect-ratio": `${width} / ${height}`, [width < height ? "height" : "width"]: "100%" } });
  }

  function box({ region: [x1, y1, x2, y2] }, order, text, letters) {
    const place = { x: x1, y: y1, width: x2 - x1, height: y2 - y1, rx: 2 };
    const name = h("svg:text", { x: x1 + letters / 3, y: y1 + letters * 1.1, "font-size": letters }, text);
    return [h("svg:rect", { ...place, class: "shade" }), h("svg:rect", { ...place, "data-order": order }), name];
  }

  function show(index) {
    current = index;
    number.value = map.number(index);
    const wanted = `${index}${map.state(index)}${map.decoded(index)}`;
    if (wanted === key) return;
    key = wanted;
    load();
  }

  return {
    element,
    take(found) {
      map = found;
      number.min = map.number(0);
      number.max = map.number(map.frames - 1);
      if (current >= 0) show(current);
    },
    /** Show a frame; asks anew only if it is another one, or stands otherwise than before. */
    show,
    press(event) {
      if (event.key === " ") pair.flip();
      else if (event.key === "s") shade();
      else if (event.key === "[") pair.split(pair.share() - STEP);
      else if (event.key === "]") pair.split(pair.share() + STEP);
      else return false;
      return true;
    },
  };
}

/** What segments are called: by their source, and by their number in it where it has several. */
function named(segments) {
  const alone = (source) => segments.filter((one) => one.source === source).length === 1;
  return segments.map(({ source, segment }) => (alone(source) ? source : `${source} ${segment + 1}`));
}
