// A new job: drop a clip, draw on a frame what is to be repainted, try it there, submit.

import { ask, openapi, post } from "./api.js";
import { empty, fill, h, problem, progress, sketch } from "./dom.js";
import { fields } from "./fields.js";
import { FACE, findings } from "./find.js";
import { some } from "./format.js";
import { barred } from "./person.js";
import { Drawing } from "./shapes.js";
import { stage } from "./stage.js";
import { trial } from "./trial.js";
import { send, sendAll } from "./upload.js";

const ENOUGH = "[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}";

export function submitPage(page, frame) {
  const said = h("div");
  const place = h("div", { class: "work" });
  let opened = null;
  page.append(h("div", { class: "head" }, h("div", {}, h("h1", {}, "New job"), h("p", { class: "quiet" }, "Drop a clip, draw what should be repainted, try it on one frame, submit."))), said, place);
  if (barred("artist")) fill(place, empty("Only for artists and admins", `${barred("artist")} An admin can change that: farm user set NAME --role artist.`));
  else drop();

  function drop() {
    const input = h("input", { type: "file", multiple: true, class: "hidden-input", id: "files", accept: "video/*,image/*,.zip,.mkv", onchange: () => take([...input.files]) });
    const bar = h("div", { class: "sending", hidden: true });
    const zone = h("label", { class: "card drop", for: "files",
      ondragover: (event) => { event.preventDefault(); zone.classList.add("over"); },
      ondragleave: () => zone.classList.remove("over"),
      ondrop: (event) => { event.preventDefault(); zone.classList.remove("over"); take([...event.dataTransfer.files]); } },
    sketch(), h("h2", {}, "Drop a video or numbered pictures here"), h("p", { class: "quiet" }, "or click to choose. MP4, MOV, MKV, WebM, PNG, JPEG, TIFF, a zip of pictures."), bar, input);
    fill(place, zone);

    async function take(files) {
      if (!files.length) return;
      bar.hidden = false;
      const name = files.length === 1 ? files[0].name : some(files.length, "picture");
      const told = (share) => fill(bar, progress(share, "active", name), h("p", { class: "quiet small" }, share < 1 ? `Sending ${name}…` : "The farm looks at it…"));
      told(0);
      try {
        const clip = await sendAll(files, told);
        fill(said);
        opened = await work(place, clip, frame, (error) => fill(said, error ? problem(error) : []));
      } catch (error) {
        bar.hidden = true;
        fill(said, problem(error));
      }
    }
  }

  return {
    leave: () => opened?.end(),
    press: (event) => opened?.press(event) ?? false,
    keys: [["b", "Box"], ["p", "Brush"], ["e", "Eraser"], ["m", "Move a box, or a corner of it"], ["f", "Find faces"], ["u", "Undo"], ["← →", "Frame before, next frame"], ["Enter", "Add a box (with the picture focused)"]],
  };
}

async function work(place, clip, frame, told) {
  const [document_, names, models, detectors] = await Promise.all([openapi(), ask("samplers"), ask("models?kind=model"), ask("models?kind=detector")]);
  const segments = [];
  let active = null;
  let busy = false;

  const others = [...new Set(detectors.items.map((one) => one.name))].filter((one) => one !== FACE);
  const detector = h("select", { "aria-label": "What to find", hidden: !others.length }, [FACE, ...others].map((one) => h("option", { value: one }, one)));
  detector.addEventListener("change", () => { find.textContent = detector.value === FACE ? "Find faces" : "Find"; });
  const find = h("button", { type: "button", id: "find", onclick: seek }, "Find faces");
  const board = stage(clip, { more: [detector, find], outlined: () => active.finds.following, drawing: () => active.drawing, others: () => segments.filter((one) => one !== active).map((one) => one.drawing), changed: check });
  const attempt = trial(clip);
  const list = h("ol", { class: "segments" });
  const form = fields(document_.components.schemas.Detailer, names, check);
  const model = h("select", { id: "model", onchange: recommend }, models.items.map((one) => h("option", { value: one.name }, one.name)));
  const type = h("select", { id: "type" }, h("option", { value: "mask" }, "mask: each frame by itself"), h("option", { value: "animatediff" }, "animatediff: frames see their neighbors"));
  const name = h("input", { id: "name", maxlength: 200, placeholder: clip.name });
  const first = h("input", { type: "number", id: "first", min: clip.first_number, max: clip.last_number, value: clip.first_number, oninput: check });
  const last = h("input", { type: "number", id: "last", min: clip.first_number, max: clip.last_number, value: clip.last_number, oninput: check });
  const hint = h("p", { class: "quiet small", role: "status" });
  const tryIt = h("button", { type: "button", id: "try", onclick: () => run(true) }, "Try on this frame");
  const go = h("button", { type: "button", class: "primary", id: "submit", onclick: () => run(false) }, "Submit");

  const labeled = (text, input) => h("div", { class: "field" }, h("label", { for: input.id }, text), input);
  fill(place, h("div", { class: "left" }, h("section", { class: "card", "aria-label": "The clip" },
    h("header", {}, h("div", {}, h("h2", {}, clip.name), h("p", { class: "quiet small" }, `${clip.width} × ${clip.height} · ${some(clip.frames, "frame")}${clip.fps ? ` · ${Math.round((clip.fps[0] / clip.fps[1]) * 100) / 100} per second` : ""}`)),
      h("button", { type: "button", onclick: () => frame.go("/submit") }, "Another clip")), board.element), attempt.element),
  h("form", { class: "right", onsubmit: (event) => event.preventDefault() },
    h("section", { class: "card" }, h("header", {}, h("h2", {}, "Segments"), h("button", { type: "button", onclick: () => add() }, "Add one")), list),
    h("section", { class: "card" }, h("header", {}, h("h2", {}, "Job")), h("div", { class: "inside" }, labeled("Name", name), labeled("Type", type), labeled("Model", model),
      h("div", { class: "pairs" }, labeled("First frame", first), labeled("Last frame", last)))),
    h("section", { class: "card" }, h("header", {}, h("h2", {}, "Parameters")), h("div", { class: "inside" }, form.element)),
    h("div", { class: "finish card" }, hint, tryIt, go)));
  add();
  recommend();
  frame.title(clip.name);

  function add() {
    const title = h("input", { value: segments.length ? `segment-${segments.length + 1}` : "face", "aria-label": "Name of the segment", pattern: ENOUGH, required: true, maxlength: 64, oninput: check });
    const prompt = h("textarea", { rows: 2, placeholder: recommended().prompt ?? "what to draw there", "aria-label": "Prompt" });
    const negative = h("input", { placeholder: recommended().negative ?? "what to keep away from", "aria-label": "Negative prompt" });
    const state = h("p", { class: "small quiet" });
    const drawing = new Drawing();
    const finds = findings(clip, drawing, () => { board.draw(); check(); });
    const one = { drawing, finds, title, prompt, negative, state };
    one.row = h("li", { onfocusin: () => choose(one), onpointerdown: () => choose(one) }, h("div", { class: "top" }, title,
      h("button", { type: "button", class: "icon", "aria-label": "Remove this segment", onclick: () => remove(one) }, "✕")), prompt, negative, finds.element, state);
    segments.push(one);
    list.append(one.row);
    choose(one);
  }

  function remove(one) {
    if (segments.length < 2) return;
    one.finds.end();
    segments.splice(segments.indexOf(one), 1);
    one.row.remove();
    choose(segments.includes(active) ? active : segments[0]);
  }

  function choose(one) {
    active = one;
    for (const other of segments) other.row.classList.toggle("chosen", other === active);
    board.draw();
    check();
  }

  function recommended() {
    return models.items.find((one) => one.name === model.value)?.recommended ?? {};
  }

  function recommend() {
    form.recommend(recommended());
    for (const one of segments) {
      one.prompt.placeholder = recommended().prompt ?? "what to draw there";
      one.negative.placeholder = recommended().negative ?? "what to keep away from";
    }
  }

  /** Look for faces on the frame that is shown, for the chosen segment. */
  async function seek() {
    const one = active;
    find.disabled = true;
    const there = await one.finds.find(board.number(), detector.value);
    find.disabled = false;
    if (there && one === active) board.choose("move");
  }

  function nothing(one) {
    return one.drawing.empty && !one.finds.following;
  }

  function check() {
    for (const one of segments) {
      one.finds.draw();
      one.state.textContent = one.finds.following ? "Found anew in every frame, and followed; what is drawn is not used."
        : nothing(one) ? (one === active ? "Draw on the picture what is to be repainted, or find faces." : "Nothing is drawn yet.") : "";
    }
    const missing = segments.filter(nothing).length;
    const frames = Number(last.value) - Number(first.value) + 1;
    const ready = !busy && !missing && frames > 0 && models.items.length > 0;
    hint.textContent = !models.items.length ? "This farm has no model yet: farm model add NAME PATH."
      : missing ? "Draw a box or a mask first." : frames > 0 ? some(frames, "frame") : "The last frame lies before the first.";
    tryIt.disabled = !ready;
    go.disabled = !ready;
  }

  async function run(once) {
    if (!form.valid() || !segments.every((one) => one.title.reportValidity() && one.finds.valid())) return;
    busy = true;
    check();
    try {
      const request = await asked(once);
      if (once) await attempt.run(request, board.number());
      else {
        const job = await post("jobs", request);
        frame.go(`/jobs/${job.id}`);
        return;
      }
      told(null);
    } catch (error) {
      told(error);
      scrollTo({ top: 0, behavior: "smooth" });
    } finally {
      busy = false;
      check();
    }
  }

  /** The submission, with the masks sent as pictures of the clip's size. */
  async function asked(once) {
    const { prompt, negative } = recommended();
    const drawn = await Promise.all(segments.map(async (one) => {
      const where = one.finds.following ? { detect: one.finds.detect(once) }
        : { mask: (await send(await one.drawing.png(clip.width, clip.height), `${one.title.value}.png`)).uri };
      return { name: one.title.value, ...where, prompt: one.prompt.value || prompt || "", negative: one.negative.value || negative || "" };
    }));
    return { name: name.value, type: type.value, model: model.value, input: { uri: clip.uri, frames: `${first.value}-${last.value}` }, segments: drawn, detailer: form.values() };
  }

  return {
    press(event) {
      if (event.key !== "f") return board.press(event);
      if (!find.disabled) seek();
      return true;
    },
    end() {
      for (const one of segments) one.finds.end();
      board.end();
      attempt.end();
    },
  };
}
