// The frame around all pages: which page an address means, the key, light and dark, help.

import { post } from "./api.js";
import { dialog, fill, h, problem } from "./dom.js";
import { jobPage } from "./job.js";
import { jobsPage } from "./jobs.js";
import { barred, greet, introduce } from "./person.js";
import { submitPage } from "./submit.js";
import { workersPage } from "./workers.js";

const at = (id) => document.getElementById(id);
const page = at("page");
let leave = () => {};
let shown = { keys: [] };

const ROUTES = [
  [/^\/$/, () => jobsPage, "Jobs"],
  [/^\/jobs\/([^/]+)$/, () => jobPage, "Job"],
  [/^\/workers$/, () => workersPage, "Workers"],
  [/^\/submit$/, () => submitPage, "New job"],
];

/** What every page is given: go elsewhere, tell whether the line to the farm holds, name the tab. */
const frame = {
  go(path) {
    history.pushState(null, "", path);
    show();
  },
  line(holds) {
    at("link").hidden = holds;
    at("link").textContent = holds ? "" : "Reconnecting…";
  },
  title(text) {
    document.title = `${text} · Detail farm`;
  },
};

/** Show the page of the present address. */
async function show() {
  leave();
  leave = () => {};
  frame.line(true);
  scrollTo(0, 0);
  document.querySelectorAll(".drawer").forEach((drawer) => drawer.remove());
  const path = location.pathname;
  for (const link of document.querySelectorAll(".bar nav a")) {
    const here = link.pathname === path || (link.pathname === "/" && path.startsWith("/jobs"));
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const [pattern, made, title] = ROUTES.find(([one]) => one.test(path)) ?? ROUTES[0];
  frame.title(title);
  try {
    shown = made()(fill(page), frame, ...(path.match(pattern)?.slice(1) ?? []));
    leave = shown.leave;
  } catch (error) {
    fill(page, problem(error));
    throw error;
  }
}

function askForKey() {
  if (document.querySelector("dialog.key")) return;
  const input = h("input", { type: "password", id: "key-text", autocomplete: "current-password", required: true });
  const said = h("div");
  async function use(event) {
    event.preventDefault();
    try {
      await post("session", { key: input.value });
      await greet(at("who"));
      asked.close();
      begin();
    } catch (error) {
      fill(said, problem(error));
    }
  }
  const asked = dialog("This farm asks for an API key", h("form", { onsubmit: use },
    h("p", { class: "quiet" }, "Its operator has one for you. It is exchanged for a session of twelve hours; scripts of this page never see it again."),
    said, h("label", { for: "key-text" }, "API key"), input,
    h("div", { class: "tools" }, h("button", { class: "primary", type: "submit" }, "Open the farm"))));
  asked.classList.add("key");
  asked.addEventListener("cancel", (event) => event.preventDefault());
}

const ALWAYS = [["g j", "Jobs"], ["g w", "Workers"], ["g n", "New job"], ["?", "This help"]];

function help() {
  if (document.querySelector("dialog.help")) return;
  const keys = [...(shown.keys ?? []), ...ALWAYS];
  const list = keys.map(([key, text]) => [h("span", {}, key.split(" ").map((one) => [h("kbd", {}, one), " "])), h("span", {}, text)]);
  const opened = dialog("Keyboard", h("div", { class: "stack" }, h("div", { class: "keys" }, list),
    h("div", { class: "tools" }, h("button", { type: "button", onclick: () => opened.close() }, "Close"))));
  opened.classList.add("help");
}

function theme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  return now;
}

function drawTheme() {
  at("theme").textContent = theme() === "dark" ? "☀" : "☾";
  at("theme").setAttribute("aria-label", theme() === "dark" ? "Use the light colors" : "Use the dark colors");
}

at("theme").addEventListener("click", () => {
  const next = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("farm-theme", next);
  } catch {
    // A browser that keeps nothing forgets it with the tab.
  }
  drawTheme();
  window.dispatchEvent(new Event("farm-theme"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  drawTheme();
  window.dispatchEvent(new Event("farm-theme"));
});
at("help").addEventListener("click", help);
at("who").addEventListener("click", introduce);
window.addEventListener("farm-key", askForKey);
window.addEventListener("popstate", show);

// Links within the dashboard change the page without loading it anew.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!link || !plain || link.origin !== location.origin || link.hasAttribute("download") || link.target) return;
  if (link.hash || !ROUTES.some(([one]) => one.test(link.pathname))) return;
  event.preventDefault();
  frame.go(link.pathname);
});

let first = "";
document.addEventListener("keydown", (event) => {
  const writing = event.target.closest("input, textarea, select, dialog") !== null;
  if (event.metaKey || event.ctrlKey || event.altKey || writing) return;
  const key = `${first}${event.key}`;
  first = event.key === "g" ? "g " : "";
  const target = { "g j": "/", "g w": "/workers", "g n": "/submit" }[key];
  if (target) frame.go(target);
  else if (event.key === "?") help();
  else if (shown.press?.(event)) event.preventDefault();
});

/** The first page, once it is known who looks at it. */
function begin() {
  document.querySelector('.bar nav a[href="/submit"]').hidden = Boolean(barred("artist"));
  show();
}

drawTheme();
greet(at("who")).then(begin, (error) => (error.status === 401 ? null : begin()));
