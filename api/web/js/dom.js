// Elements. Names and texts come from strangers, so they are only ever set as text, never read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("p", {class: "quiet", onclick}, "text", child)`. `svg:` before the tag makes a part of a drawing. */
export function h(tag, properties = {}, ...children) {
  const [first, second] = tag.split(":");
  const made = second ? document.createElementNS(SVG, second) : document.createElement(first);
  for (const [name, value] of Object.entries(properties)) set(made, name, value);
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function set(made, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
  else if (name === "style") for (const [key, text] of Object.entries(value)) made.style.setProperty(key, text);
  else if (name === "data") Object.assign(made.dataset, value);
  else if (name === "value" || name === "checked" || name === "disabled") made[name] = value;
  else made.setAttribute(name, value === true ? "" : value);
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A pill that says a state. */
export const pill = (state, word = state) => h("span", { class: `pill ${state}` }, word.replaceAll("-", " "));

/** A thin bar; `share` from 0 to 1. */
export function progress(share, state, label) {
  const percent = Math.round(share * 1000) / 10;
  const role = { role: "progressbar", "aria-valuenow": Math.round(percent), "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": label };
  return h("div", { class: `progress ${state}`, ...role }, h("i", { style: { width: `${percent}%` } }));
}

/** A page or a part that has nothing to show yet: what to do next. */
export const empty = (title, text, ...more) => h("div", { class: "empty" }, sketch(), h("h2", {}, title), h("p", {}, text), more);

/** A picture with a box drawn over a part of it: what a farm is for. */
export const sketch = () => h("svg:svg", { class: "sketch", viewBox: "0 0 120 80", "aria-hidden": "true" },
  h("svg:rect", { class: "paper", x: 1, y: 1, width: 118, height: 78, rx: 8 }), h("svg:path", { d: "M1 64 L34 36 L62 60 L80 46 L119 72" }),
  h("svg:circle", { cx: 30, cy: 20, r: 6 }), h("svg:rect", { class: "lit", x: 66, y: 14, width: 32, height: 32, rx: 3 }));

/** An error in the farm's own words. */
export function problem(error) {
  const others = (error.errors ?? []).slice(1).map((fault) => h("li", {}, fault.message));
  return h("div", { class: "problem", role: "alert" }, h("strong", {}, error.title ?? "That did not work"),
    h("span", {}, error.message), others.length ? h("ul", {}, others) : null);
}

/** A dialog that is gone when it is closed. */
export function dialog(title, ...children) {
  const shown = h("dialog", { "aria-label": title, onclose: () => shown.remove() }, h("h2", {}, title), children);
  document.body.append(shown);
  shown.showModal();
  return shown;
}

/** At most one call in `ms`, the last one always. */
export function calmly(ms, call) {
  let timer = null;
  let last = 0;
  return (...values) => {
    clearTimeout(timer);
    const wait = Math.max(0, last + ms - performance.now());
    timer = setTimeout(() => {
      last = performance.now();
      call(...values);
    }, wait);
  };
}

/** A reader of the page's colors, as a canvas takes them: light or dark as they are now. */
export function palette(element) {
  const probe = h("i", { hidden: true });
  element.parentElement.append(probe);
  const style = getComputedStyle(probe);
  const found = {};
  queueMicrotask(() => probe.remove());
  return (name) => {
    if (!found[name]) {
      probe.style.color = `var(${name})`;
      found[name] = style.color;
    }
    return found[name];
  };
}

const TRIES = 6;
const AGAIN_MS = 700;

/**
 * A picture in the background: `there(address)` is called when it has come, unless `wanted()` says by then that nobody
 * waits for it. A network that fails for a moment is no reason to show nothing: it is asked for a few times.
 */
export function picture(address, { wanted, there, priority = "auto" }, tried = 1) {
  const image = new Image();
  image.fetchPriority = priority;
  image.onload = () => (wanted() ? there(image) : null);
  image.onerror = () => {
    if (tried < TRIES) setTimeout(() => (wanted() ? picture(address, { wanted, there, priority }, tried + 1) : null), AGAIN_MS * 2 ** (tried - 1));
  };
  image.src = address;
}
