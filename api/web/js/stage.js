// A frame of the clip, to draw on: boxes, a brush, an eraser.

import { ROOT } from "./api.js";
import { h, palette, picture } from "./dom.js";
import { area } from "./shapes.js";

const WIDTH = 1280;
const SETTLE_MS = 60;
const NUDGE = 8;

/** The stage of an upload. `drawing()` is what is drawn on now, `others()` what lies beside; `changed()` is told. */
export function stage(clip, { drawing, others, changed, moved }) {
  let tool = "box";
  let number = clip.first_number;
  let pending = null;
  let timer = null;

  const shownFrame = h("img", { alt: `Frame ${number} of ${clip.name}`, draggable: "false" });
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": "Draw what is to be repainted. Enter adds a box, arrows move it, Shift and arrows change its size." });
  const board = h("div", { class: "board", style: { "--aspect": String(clip.width / clip.height) } }, shownFrame, canvas);
  const size = h("input", { type: "range", min: 4, max: Math.round(clip.height / 3), value: Math.round(clip.height / 16), "aria-label": "Size of the brush" });
  const tools = ["box", "brush", "erase"].map((name) => h("button", { type: "button", data: { tool: name }, onclick: () => choose(name) }, { box: "Box", brush: "Brush", erase: "Eraser" }[name]));
  const scrub = h("input", { type: "range", min: clip.first_number, max: clip.last_number, value: number, "aria-label": "Frame", oninput: () => go(Number(scrub.value)) });
  const shown = h("input", { type: "number", min: clip.first_number, max: clip.last_number, value: number, "aria-label": "Frame number", onchange: () => go(Number(shown.value)) });
  const element = h("div", { class: "stage" },
    h("div", { class: "controls" }, h("div", { class: "tabs", role: "group", "aria-label": "Tool" }, tools),
      h("label", { class: "brush" }, h("span", { class: "quiet small" }, "Brush"), size), h("span", { class: "stretch" }),
      h("button", { type: "button", onclick: () => edit((one) => one.undo()) }, "Undo"),
      h("button", { type: "button", onclick: () => edit((one) => one.clear()) }, "Clear")),
    board,
    h("div", { class: "controls" },
      h("button", { class: "icon", type: "button", "aria-label": "Frame before", onclick: () => go(number - 1) }, "←"), shown,
      h("button", { class: "icon", type: "button", "aria-label": "Next frame", onclick: () => go(number + 1) }, "→"), scrub));

  function choose(name) {
    tool = name;
    for (const one of tools) one.setAttribute("aria-pressed", String(one.dataset.tool === name));
  }

  function go(to) {
    number = Math.max(clip.first_number, Math.min(clip.last_number, Math.round(to)));
    scrub.value = number;
    shown.value = number;
    clearTimeout(timer);
    // While the slider moves, only the frame where it rests is asked for.
    timer = setTimeout(load, SETTLE_MS);
    moved?.(number);
  }

  function load() {
    const wanted = number;
    picture(`${ROOT}/uploads/${clip.id}/preview?number=${wanted}&width=${WIDTH}`, {
      wanted: () => wanted === number,
      there: ({ src }) => {
        shownFrame.src = src;
        shownFrame.alt = `Frame ${number} of ${clip.name}`;
      },
    });
  }

  function edit(change) {
    change(drawing());
    draw();
    changed();
  }

  function point(event) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const at = [((event.clientX - left) / width) * clip.width, ((event.clientY - top) / height) * clip.height];
    return [Math.max(0, Math.min(clip.width, at[0])), Math.max(0, Math.min(clip.height, at[1]))];
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const at = point(event);
    pending = tool === "box" ? { kind: "box", from: at, to: at }
      : { kind: "stroke", points: [at], size: Number(size.value), erase: tool === "erase" };
    drawing().add(pending);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pending) return;
    if (pending.kind === "box") pending.to = point(event);
    else pending.points.push(point(event));
    draw();
  });
  canvas.addEventListener("pointerup", () => {
    if (!pending) return;
    const [, , width, height] = pending.kind === "box" ? area(pending) : [0, 0, 9, 9];
    if (width < 4 || height < 4) drawing().undo(); // a click, not a box
    pending = null;
    draw();
    changed();
  });
  canvas.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-NUDGE, 0], ArrowRight: [NUDGE, 0], ArrowUp: [0, -NUDGE], ArrowDown: [0, NUDGE] }[event.key] ?? [0, 0];
    const { box } = drawing();
    if (event.key === "Enter") edit((one) => one.add({ kind: "box", from: [clip.width * 0.4, clip.height * 0.4], to: [clip.width * 0.6, clip.height * 0.6] }));
    else if ((event.key === "Delete" || event.key === "Backspace") && box) edit((one) => one.undo());
    else if ((x || y) && box) {
      box.to = [box.to[0] + x, box.to[1] + y];
      if (!event.shiftKey) box.from = [box.from[0] + x, box.from[1] + y];
      edit(() => {});
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function draw() {
    const scale = (canvas.clientWidth / clip.width) * devicePixelRatio;
    if (!scale) return;
    canvas.width = Math.round(clip.width * scale);
    canvas.height = Math.round(clip.height * scale);
    const pen = canvas.getContext("2d");
    for (const one of others()) lay(pen, one, scale, "#ffffff", 0.28);
    lay(pen, drawing(), scale, palette(canvas)("--mark"), 0.5);
  }

  function lay(pen, one, scale, color, share) {
    const layer = new OffscreenCanvas(canvas.width, canvas.height);
    one.paint(layer.getContext("2d"), scale, color);
    pen.globalAlpha = share;
    pen.drawImage(layer, 0, 0);
    pen.globalAlpha = 1;
    pen.strokeStyle = color;
    pen.lineWidth = 2 * devicePixelRatio;
    for (const shape of one.shapes) {
      if (shape.kind !== "box") continue;
      const [x, y, width, height] = area(shape).map((value) => value * scale);
      pen.strokeRect(x, y, width, height);
    }
  }

  const observer = new ResizeObserver(draw);
  observer.observe(canvas);
  choose("box");
  load();
  return { element, draw, go, number: () => number, end: () => observer.disconnect(), press };

  function press(event) {
    const chosen = { b: "box", p: "brush", e: "erase" }[event.key];
    if (chosen) choose(chosen);
    else if (event.key === "u") edit((one) => one.undo());
    else if (event.key === "ArrowLeft") go(number - (event.shiftKey ? 10 : 1));
    else if (event.key === "ArrowRight") go(number + (event.shiftKey ? 10 : 1));
    else return false;
    return true;
  }
}
