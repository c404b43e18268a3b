// A form made of the API's own description of the parameters: names, ranges, defaults and meaning come from there.

import { h } from "./dom.js";
import { words } from "./format.js";

/** The most used, in this order; all others are folded away. */
const FIRST = ["denoise", "steps", "cfg", "seed", "crop_factor", "guide_size", "max_size", "sampler_name", "scheduler", "feather"];
const ELSEWHERE = new Set(["prompt", "negative"]);
const STEPS = { denoise: 0.01, cfg: 0.1, crop_factor: 0.1, refiner_ratio: 0.05, guide_size: 8, max_size: 8 };

/** The form; `schema` is that of the detailer, `choices` are names per field. `changed()` is told of every change. */
export function fields(schema, choices, changed) {
  const entries = new Map();
  const defaults = {};
  for (const [name, one] of Object.entries(schema.properties)) {
    if (ELSEWHERE.has(name)) continue;
    defaults[name] = one.default ?? null;
    entries.set(name, field(name, one, choices[name], () => {
      mark(name);
      changed();
    }));
  }

  function mark(name) {
    const { row, read } = entries.get(name);
    row.classList.toggle("set", JSON.stringify(read()) !== JSON.stringify(defaults[name]));
  }

  const rest = [...entries.keys()].filter((name) => !FIRST.includes(name));
  const element = h("div", { class: "fields" },
    h("div", { class: "pairs" }, FIRST.filter((name) => entries.has(name)).map((name) => entries.get(name).row)),
    h("details", {}, h("summary", {}, `All parameters (${rest.length} more)`), h("div", { class: "pairs" }, rest.map((name) => entries.get(name).row))));

  return {
    element,
    /** What differs from the API's own defaults. Throws if a field cannot be read. */
    values() {
      const found = {};
      for (const [name, { read }] of entries) {
        const value = read();
        if (JSON.stringify(value) !== JSON.stringify(defaults[name])) found[name] = value;
      }
      return found;
    },
    /** Lay what a model recommends over the defaults. */
    recommend(values) {
      for (const [name, { write }] of entries) {
        write(values[name] ?? defaults[name]);
        mark(name);
      }
    },
    valid: () => [...entries.values()].every(({ input }) => input.reportValidity()),
  };
}

function field(name, schema, choices, changed) {
  const id = `field-${name}`;
  const inner = schema.anyOf?.find((one) => one.type !== "null") ?? schema;
  const kind = schema.enum || choices ? choice(schema.enum ?? choices) : KINDS[inner.type]?.(inner, name) ?? json(schema);
  kind.input.id = id;
  kind.input.addEventListener("input", changed);
  kind.write(schema.default ?? null);
  const row = h("div", { class: `field ${inner.type === "boolean" ? "check" : ""}`, title: schema.description ?? "" },
    h("label", { for: id }, words(name)), kind.input);
  if (schema.description) {
    const about = h("p", { class: "about", id: `${id}-about` }, schema.description);
    kind.input.setAttribute("aria-describedby", about.id);
    row.append(about);
  }
  return { ...kind, row };
}

const KINDS = { number, integer: number, boolean: check, string: text };

function number(schema, name) {
  const whole = schema.type === "integer";
  const input = h("input", { type: "number", min: schema.minimum, max: schema.maximum < Number.MAX_SAFE_INTEGER ? schema.maximum : null, step: whole ? 1 : "any" });
  // Arrows go in steps that make sense; any value in range may be typed.
  if (!whole && STEPS[name]) input.addEventListener("keydown", (event) => {
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const next = Math.round((Number(input.value) + way * STEPS[name]) * 1000) / 1000;
    input.value = Math.max(schema.minimum ?? next, Math.min(schema.maximum ?? next, next));
    input.dispatchEvent(new Event("input"));
  });
  return { input, read: () => (input.value === "" ? schema.default ?? null : Number(input.value)), write: (value) => { input.value = value ?? ""; } };
}

function check() {
  const input = h("input", { type: "checkbox" });
  return { input, read: () => input.checked, write: (value) => { input.checked = Boolean(value); } };
}

function choice(names) {
  const input = h("select", {}, names.map((name) => h("option", { value: name }, name)));
  return { input, read: () => input.value, write: (value) => { input.value = value; } };
}

function text(schema) {
  const input = h("input", { type: "text", maxlength: schema.maxLength });
  return { input, read: () => input.value, write: (value) => { input.value = value ?? ""; } };
}

/** Lists and objects, such as hooks, LoRAs and key frames, are written as JSON; left empty they are the default. */
function json(schema) {
  const input = h("textarea", { rows: 2, spellcheck: "false", class: "mono" });
  input.addEventListener("input", () => {
    try {
      JSON.parse(input.value.trim() || "[]");
      input.setCustomValidity("");
    } catch (error) {
      input.setCustomValidity(`This is no JSON: ${error.message}`);
    }
  });
  const read = () => (input.value.trim() ? JSON.parse(input.value) : schema.default ?? null);
  return { input, read, write: (value) => { input.value = value && Object.keys(value).length ? JSON.stringify(value) : ""; } };
}
