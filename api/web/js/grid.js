// The chunks of a job: a cell for each chunk, and one for each segment in it, by state; and the whole as one bar.

import { LEGEND, WORDS } from "./chunks.js";
import { fill, h, palette } from "./dom.js";
import { Track } from "./track.js";

const WIDTH = 22;
const EVERY = 10;

/** The grid; `choose(chunk, source)` is called when a cell is clicked. */
export function grid(choose) {
  let map = null;
  let current = -1;
  const names = h("div", { class: "names" });
  const track = new Track({ width: WIDTH, label: "Chunks", className: "cells", make, update });
  const element = h("div", { class: "grid" }, names, track.element);

  function make(chunk) {
    const cells = [["", "all of it"], ...map.sources].map(([source]) =>
      h("button", { class: "cell", type: "button", tabindex: -1, onclick: () => choose(chunk, source), data: { source } }));
    return h("div", { class: "column", data: { chunk } }, chunk % EVERY ? null : h("span", { class: "at number" }, String(chunk)), cells);
  }

  function update(column, chunk) {
    const letters = [map.states, ...map.sources.map(([, states]) => states)];
    column.querySelectorAll(".cell").forEach((cell, row) => {
      const letter = letters[row][chunk];
      if (cell.dataset.state !== letter) {
        cell.dataset.state = letter;
        cell.className = `cell is-${letter}`;
        const name = cell.dataset.source || "all";
        cell.setAttribute("aria-label", `Chunk ${chunk}, ${name}: ${WORDS[letter]}`);
        cell.title = `chunk ${chunk} · ${name} · ${WORDS[letter]}`;
      }
      if (chunk === current && row === 0) cell.setAttribute("aria-current", "true");
      else cell.removeAttribute("aria-current");
      // One stop for the Tab key; arrows go on from there.
      cell.tabIndex = chunk === Math.max(0, current) ? 0 : -1;
    });
  }

  element.addEventListener("keydown", (event) => {
    const cell = event.target.closest(".cell");
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!cell || !step) return;
    event.preventDefault();
    event.stopPropagation();
    const column = cell.closest(".column");
    const to = column.parentElement.querySelector(`[data-chunk="${Number(column.dataset.chunk) + step}"]`);
    to?.querySelectorAll(".cell")[[...column.querySelectorAll(".cell")].indexOf(cell)].focus();
  });

  return {
    element,
    take(found) {
      if (!map) fill(names, h("span", {}, "Chunk"), found.sources.map(([name]) => h("span", { title: name }, name)));
      map = found;
      track.element.style.height = `${26 + 22 * (1 + map.sources.length)}px`;
      track.resize(map.count);
      track.later();
    },
    show(chunk) {
      if (chunk === current) return;
      current = chunk;
      track.reveal(chunk);
      track.later();
    },
    end: () => track.end(),
  };
}

/** What the colors mean: those that occur. */
export function legend(map) {
  const used = map.used();
  return LEGEND.filter(([letter]) => used.has(letter)).map(([letter, word]) => h("span", {}, h("i", { class: `dot is-${letter}` }), word));
}

const FILLS = { d: "--accent", f: "--bad", s: "--warn", a: "--accent", r: "--ready", w: "--waiting", q: "--waiting", e: "--ready", c: "--waiting", "-": "--waiting" };

/** The whole job as one bar; a click goes there. `go(index)` is given a frame's index. */
export function overview(go) {
  let map = null;
  let window_ = [0, 0];
  const canvas = h("canvas", { class: "overview", role: "img", "aria-label": "The whole job" });
  canvas.addEventListener("pointerdown", jump);
  canvas.addEventListener("pointermove", (event) => (event.buttons ? jump(event) : null));

  function jump(event) {
    const { left, width } = canvas.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - left) / width));
    if (map) go(Math.min(map.frames - 1, Math.floor(share * map.frames)));
  }

  function draw() {
    if (!map || !canvas.clientWidth) return;
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * scale, 16 * scale];
    canvas.width = width;
    canvas.height = height;
    const pen = canvas.getContext("2d");
    const colors = palette(canvas);
    for (let from = 0; from < map.count; ) {
      let to = from;
      while (to < map.count && map.states[to] === map.states[from]) to += 1;
      const letter = map.states[from];
      pen.globalAlpha = letter === "a" ? 0.55 : 1;
      pen.fillStyle = colors(FILLS[letter]);
      const left = (map.range(from)[0] / map.frames) * width;
      // A single failed chunk of many thousands is still to be seen.
      pen.fillRect(left, 0, Math.max(scale, (map.range(to - 1)[1] / map.frames) * width - left), height);
      from = to;
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = colors("--ink");
    pen.lineWidth = 2 * scale;
    const [first, end] = window_.map((index) => (index / map.frames) * width);
    if (end - first < width - 4 * scale) pen.strokeRect(first + scale, scale, Math.max(2 * scale, end - first - 2 * scale), height - 2 * scale);
  }

  addEventListener("resize", draw);
  addEventListener("farm-theme", draw);
  return {
    element: canvas,
    take(found) {
      map = found;
      canvas.setAttribute("aria-label", `The whole job: ${[...map.states].filter((letter) => letter === "d").length} of ${map.count} chunks done`);
      draw();
    },
    window(first, end) {
      window_ = [first, end];
      draw();
    },
    end() {
      removeEventListener("resize", draw);
      removeEventListener("farm-theme", draw);
    },
  };
}
