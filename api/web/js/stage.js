// A frame of the clip, to draw on: boxes, a brush, an eraser; boxes can be moved.

import { ROOT } from "./api.js";
import { h, palette, picture } from "./dom.js";
import { area } from "./shapes.js";

const WIDTH = 1280;
const SETTLE_MS = 60;
const NUDGE = 8;
const GRIP = 10; // pixels of the screen around a corner that hold it

/** The stage of an upload. `drawing()` is what is drawn on now, `others()` what lies beside; `changed()` is told.
 * Where `outlined()`, boxes are shown and not meant: without a filling. `more` are further controls. */
export function stage(clip, { drawing, others, changed, outlined, more, moved }) {
  let tool = "box";
  let number = clip.first_number;
  let pending = null;
  let timer = null;

  const shownFrame = h("img", { alt: `Frame ${number} of ${clip.name}`, draggable: "false" });
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": "Draw what is to be repainted. Enter adds a box, arrows move it, Shift and arrows change its size." });
  const board = h("div", { class: "board", style: { "--aspect": String(clip.width / clip.height) } }, shownFrame, canvas);
  const size = h("input", { type: "range", min: 4, max: Math.round(clip.height / 3), value: Math.round(clip.height / 16), "aria-label": "Size of the brush" });
  const tools = ["box", "brush", "erase", "move"].map((name) => h("button", { type: "button", data: { tool: name }, onclick: () => choose(name) }, { box: "Box", brush: "Brush", erase: "Eraser", move: "Move" }[name]));
  const scrub = h("input", { type: "range", min: clip.first_number, max: clip.last_number, value: number, "aria-label": "Frame", oninput: () => go(Number(scrub.value)) });
  const shown = h("input", { type: "number", min: clip.first_number, max: clip.last_number, value: number, "aria-label": "Frame number", onchange: () => go(Number(shown.value)) });
  const element = h("div", { class: "stage" },
    h("div", { class: "controls" }, h("div", { class: "tabs", role: "group", "aria-label": "Tool" }, tools),
      h("label", { class: "brush" }, h("span", { class: "quiet small" }, "Brush"), size), h("span", { class: "stretch" }), more,
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
    if (tool === "move") {
      const held = drawing().at(at, (GRIP * clip.width) / canvas.clientWidth);
      pending = held && { kind: "held", ...held, at };
      return;
    }
    pending = tool === "box" ? { kind: "box", from: at, to: at }
      : { kind: "stroke", points: [at], size: Number(size.value), erase: tool === "erase" };
    drawing().add(pending);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pending) return;
    if (pending.kind === "held") drag(point(event));
    else if (pending.kind === "box") pending.to = point(event);
    else pending.points.push(point(event));
    draw();
  });
  /** Move the held box, or its held corner. */
  function drag(to) {
    const { box, corner, at } = pending;
    const by = [to[0] - at[0], to[1] - at[1]];
    if (corner) for (const axis of [0, 1]) box[corner[axis]][axis] += by[axis];
    else for (const end of ["from", "to"]) box[end] = [box[end][0] + by[0], box[end][1] + by[1]];
    pending.at = to;
  }

  canvas.addEventListener("pointerup", () => {
    if (!pending) return;
    const [, , width, height] = pending.kind === "box" ? area(pending) : [0, 0, 9, 9];
    if (width < 4 || height < 4) drawing().remove(pending); // a click, not a box
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
    const bare = outlined() && one === drawing();
    pen.globalAlpha = bare ? 0 : share;
    pen.drawImage(layer, 0, 0);
    pen.globalAlpha = 1;
    pen.strokeStyle = color;
    pen.lineWidth = 2 * devicePixelRatio;
    for (const shape of one.shapes) {
      if (shape.kind !== "box") continue;
      const [x, y, width, height] = area(shape).map((value) => value * scale);
      pen.strokeRect(x, y, width, height);
      if (shape.label && !bare) tag(pen, shape.label, x, y, color);
    }
  }

  /** The number of what was found, in the box's upper left corner. */
  function tag(pen, text, x, y, color) {
    const side = 20 * devicePixelRatio;
    pen.font = `600 ${side * 0.65}px system-ui, sans-serif`;
    pen.fillStyle = color;
    pen.fillRect(x, y, Math.max(side, pen.measureText(text).width + side / 2), side);
    pen.fillStyle = "#11131c";
    pen.textBaseline = "middle";
    pen.fillText(text, x + side * 0.3, y + side / 2);
  }

  const observer = new ResizeObserver(draw);
  observer.observe(canvas);
  window.addEventListener("farm-theme", draw);
  choose("box");
  load();
  return { element, draw, go, choose, number: () => number, end, press };

  function end() {
    observer.disconnect();
    window.removeEventListener("farm-theme", draw);
  }

  function press(event) {
    const chosen = { b: "box", p: "brush", e: "erase", m: "move" }[event.key];
    if (chosen) choose(chosen);
    else if (event.key === "u") edit((one) => one.undo());
    else if (event.key === "ArrowLeft") go(number - (event.shiftKey ? 10 : 1));
    else if (event.key === "ArrowRight") go(number + (event.shiftKey ? 10 : 1));
    else return false;
    return true;
  }
}
