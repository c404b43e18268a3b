// One job: how far it is, its frames, its chunks, and what can be done.

import { abilities, ask, follow } from "./api.js";
import { ChunkMap } from "./chunks.js";
import { decisions } from "./decisions.js";
import { calmly, fill, h, pill, problem, progress } from "./dom.js";
import { drawer } from "./drawer.js";
import { fault } from "./fault.js";
import { ago, count, duration, percent, some } from "./format.js";
import { grid, legend, overview } from "./grid.js";
import { history } from "./history.js";
import { parameters } from "./parameters.js";
import { review } from "./review.js";
import { strip } from "./strip.js";
import { viewer } from "./viewer.js";

const MAP_MS = 800;
const REST_MS = 3000;
const PAGE = 10;
const ENDED = new Set(["completed", "failed", "canceled"]);

export function jobPage(page, frame, id) {
  let parts = null;
  let gone = false;
  const said = h("div");
  page.append(said);
  open().catch((error) => {
    if (!gone) fill(said, problem(error), h("p", {}, h("a", { href: "/" }, "All jobs")));
  });

  async function open() {
    const [job, known] = await Promise.all([ask(`jobs/${id}`), abilities()]);
    const map = new ChunkMap(await ask(`jobs/${id}/chunks`));
    if (gone) return;
    frame.title(job.name || id);
    parts = build(page, frame, job, map, known, (error) => fill(said, error ? problem(error) : []));
  }

  return {
    leave() {
      gone = true;
      parts?.end();
    },
    press: (event) => parts?.press(event) ?? false,
    keys: [["← →", "Frame before, next frame"], ["Shift ← →", "Ten frames"], ["Home End", "First frame, last frame"], ["Space", "Flip between before and after"],
      ["[ ]", "Move the divider"], ["s", "Segments on and off"], ["Esc", "Close the drawer"]],
  };
}

function build(page, frame, job, firstMap, known, told) {
  let map = firstMap;
  let current = -1;
  let chosen = false;
  let gone = false;
  const { id } = job;

  const head = h("div", { class: "title" });
  const bar = h("div");
  const notes = h("div");
  const figures = h("dl", { class: "card facts-line" });
  const deciding = decisions(id, known, told);
  const tasks = drawer(job, known, (index) => go(index, true));
  const size = [job.document.input.width, job.document.input.height];
  const look = viewer(id, size, { go: (index) => go(index, true), open: tasks.open });
  const whole = overview((index) => {
    film.scrollTo(index);
    go(index, true);
  });
  const film = strip(id, (index) => go(index, true), whole.window);
  const opened = (chunk, source) => {
    go(map.range(chunk)[0], true);
    tasks.open(chunk, source);
  };
  const cells = grid(opened);
  const why = fault(id, (chunk) => opened(chunk, ""));
  const meaning = h("div", { class: "legend" });
  const list = h("div");
  const first = review(id, (index) => {
    go(index, true);
    look.element.scrollIntoView({ block: "nearest", behavior: "smooth" });
  });
  let last = job;

  page.append(
    h("a", { class: "back", href: "/" }, "← Jobs"),
    h("div", { class: "head" }, h("div", {}, head, h("p", { class: "quiet" }, about(job))), deciding.element),
    h("div", { class: "overall" }, bar), why.element, notes, figures, first.element, look.element,
    h("section", { class: "card map", "aria-label": "Frames and chunks" },
      h("div", { class: "top" }, h("h2", {}, "Frames"), meaning), whole.element, film.element, cells.element),
    list, history(id));
  document.body.append(tasks.element);
  parameters(job.document).then((made) => fill(list, made), told);

  function go(index, byHand = false) {
    chosen ||= byHand;
    current = Math.max(0, Math.min(map.frames - 1, index));
    film.show(current);
    look.show(current);
    cells.show(map.chunkOf(current));
  }

  function takeMap(found) {
    map = found;
    for (const part of [film, cells, whole, look, tasks]) part.take(map);
    first.take(last, map);
    fill(meaning, legend(map));
    // Until a person chooses a frame, the first finished one is worth looking at.
    const done = map.states.indexOf("d");
    if (!chosen && current < 0) go(done < 0 ? 0 : map.range(done)[0]);
    else if (!chosen && map.state(current) !== "d" && done >= 0) go(map.range(done)[0]);
  }

  const askMap = calmly(MAP_MS, async () => {
    try {
      takeMap(new ChunkMap(await ask(`jobs/${id}/chunks`)));
    } catch {
      // The next change asks again.
    }
  });

  function takeJob(now) {
    last = now;
    first.take(now, map);
    fill(head, h("h1", {}, now.name || id), pill(now.status));
    const share = now.frames.total ? now.frames.done / now.frames.total : 0;
    fill(bar, progress(share, now.status, `${now.frames.done} of ${now.frames.total} frames`));
    fill(figures, figure("Done", percent(share), `${count(now.frames.done)} of ${some(now.frames.total, "frame")}`),
      now.ended ? figure("Took", now.started ? duration((Date.parse(now.ended) - Date.parse(now.started)) / 1000) : "–", ago(now.ended))
        : figure("Left", now.eta ? duration(now.eta.seconds) : "–", now.eta ? "if it goes on like this" : now.waiting_reason ? "" : "after the first frame"),
      figure("Workers", count(now.workers_active), "at work"),
      figure("Chunks", `${count(now.chunks.done)} / ${count(now.chunks.total)}`, now.chunks.failed ? `${count(now.chunks.failed)} failed` : "done"),
      figure("Reused", count(now.cache.hits), `of ${count(now.cache.hits + now.cache.misses)} detail tasks`));
    deciding.take(now);
    why.take(now);
    fill(notes, (now.notes ?? []).map((text) => h("p", { class: "problem notice" }, text)));
    if (now.waiting_reason) fill(bar, bar.firstChild, h("p", { class: "quiet small", style: { "margin-top": "8px" } }, now.waiting_reason));
  }

  takeJob(job);
  takeMap(map);
  let end = () => {};
  let timer = null;
  function listen() {
    end = follow(`jobs/${id}/events`, { "job.status": (now) => {
      takeJob(now);
      if (now.revision !== map.revision) askMap();
      if (ENDED.has(now.status)) rest(now.revision);
    } }, frame.line);
  }
  /** An ended job says no more, unless somebody retries it: a look now and then is enough. */
  function rest(revision) {
    end();
    end = () => clearTimeout(timer);
    timer = setTimeout(async () => {
      const now = await ask(`jobs/${id}`).catch(() => ({ revision }));
      if (gone) return;
      if (now.revision === revision) rest(revision);
      else listen();
    }, REST_MS);
  }
  listen();

  return {
    press(event) {
      if (tasks.press(event) || look.press(event)) return true;
      const step = event.shiftKey ? PAGE : 1;
      const to = { ArrowLeft: current - step, ArrowRight: current + step, Home: 0, End: map.frames - 1 }[event.key];
      if (to === undefined) return false;
      go(to, true);
      return true;
    },
    end() {
      gone = true;
      end();
      for (const part of [film, cells, whole, tasks]) part.end();
    },
  };
}

const figure = (name, value, more) => h("div", {}, h("dt", {}, name), h("dd", { class: "number" }, value, " ", h("small", {}, more)));

function about(job) {
  const { input } = job.document;
  return [job.type, `${input.name}, ${input.width} × ${input.height}`, job.user, `submitted ${ago(job.created)}`, job.id].filter(Boolean).join(" · ");
}
