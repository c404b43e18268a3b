// With what a job was submitted: what differs from the defaults first and bold.

import { openapi } from "./api.js";
import { h } from "./dom.js";
import { words } from "./format.js";

const TEXTS = ["prompt", "negative", "wildcard"];
const NOT_SHOWN = new Set(["hooks", "loras", ...TEXTS]);

/** The folded list of a job's parameters. */
export async function parameters(job) {
  const { components } = await openapi();
  const schema = components.schemas.Detailer ?? components.schemas["Detailer-Output"] ?? components.schemas["Detailer-Input"];
  const defaults = Object.fromEntries(Object.entries(schema?.properties ?? {}).map(([name, one]) => [name, one.default ?? null]));
  const model = [["model", job.model], ["refiner", job.refiner], ["vae", job.vae], ["motion", job.motion]].filter(([, one]) => one);
  return h("details", { class: "card params" }, h("summary", {}, "Parameters"),
    h("section", {}, h("dl", { class: "facts" },
      pair("type", job.type), pair("clip", `${job.input.name}, ${job.input.width} × ${job.input.height}`),
      pair("frames", `${job.input.first_number + job.start} – ${job.input.first_number + job.end - 1}`),
      model.map(([name, one]) => pair(name, one.name)), pair("engine", job.engine), pair("chunk", `${job.chunk} frames`),
      pair("outputs", job.outputs.join(", ") || "frames"), pair("priority", job.priority))),
    job.warnings.length ? h("section", {}, job.warnings.map((text) => h("p", { class: "problem notice" }, text))) : null,
    job.sources.map((source) => section(source, defaults)));
}

function section(source, defaults) {
  const { detailer } = source;
  const all = Object.entries(detailer).filter(([name]) => !NOT_SHOWN.has(name));
  const differs = ([name, value]) => name in defaults && JSON.stringify(value) !== JSON.stringify(defaults[name]);
  const sorted = [...all.filter(differs), ...all.filter((entry) => !differs(entry))];
  return h("section", {}, h("h3", {}, source.name),
    TEXTS.filter((name) => detailer[name]).map((name) => h("p", { class: "prompt" }, h("span", { class: "quiet" }, `${name}: `), detailer[name])),
    h("dl", { class: "facts" }, sorted.map((entry) => pair(entry[0], text(entry[1]), differs(entry)))),
    source.detect ? found(source.detect) : null,
    extra("loras", detailer.loras), extra("hooks", detailer.hooks));
}

/** Whom the detector looks for, and how. */
const found = ({ detector, sam, ...rest }) => h("div", {}, h("h4", {}, `Found by ${detector.name}${sam ? ` and ${sam.name}` : ""}`),
  h("dl", { class: "facts" }, Object.entries(rest).map(([name, value]) => pair(name, Array.isArray(value) ? value.join(", ") || "all" : text(value)))));

const extra = (name, list) => (list?.length ? h("p", { class: "prompt" }, h("span", { class: "quiet" }, `${name}: `), h("code", {}, JSON.stringify(list))) : null);
const text = (value) => (value === null ? "–" : value === true ? "yes" : value === false ? "no" : String(value));
const pair = (name, value, set = false) => h("div", { class: set ? "set" : "" }, h("dt", {}, words(name)), h("dd", { class: "number" }, String(value)));
