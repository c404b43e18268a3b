// Who is here, what they may do, and how much of the farm they have.

import { ask } from "./api.js";
import { dialog, fill, h, problem } from "./dom.js";
import { bytes, count } from "./format.js";

const ORDER = ["viewer", "artist", "admin"];
const MEANING = {
  viewer: "A viewer looks at everything and downloads everything, and changes nothing",
  artist: "An artist submits jobs, and decides about their own",
  admin: "An admin may do everything, also with others' jobs and with workers",
};
/** Until the farm has said who it is, nobody is kept from asking: the farm itself refuses what may not be. */
let who = { name: "", role: "admin" };
let keys = false;

/** Ask the farm who is here, and show it on `button`. Throws a Problem: 401 if it wants a key first. */
export async function greet(button) {
  const session = await ask("session");
  who = { name: session.user, role: session.role };
  keys = session.keys;
  button.hidden = !keys;
  fill(button, h("span", {}, who.name), h("span", { class: "quiet small" }, who.role));
  button.setAttribute("aria-label", `You are ${who.name}, ${who.role}`);
  document.documentElement.dataset.role = who.role;
}

export const name = () => who.name;

/** Why this person may not do what `role` may; "" if they may. */
export function barred(role) {
  if (ORDER.indexOf(who.role) >= ORDER.indexOf(role)) return "";
  return `You are ${who.name}, ${who.role === "viewer" ? "a viewer" : "an artist"}. This takes ${role === "admin" ? "an admin" : "an artist or an admin"}.`;
}

/** Why this person may not decide about a job; "" if they may. */
export function barredFrom(job) {
  if (who.role === "viewer") return barred("artist");
  if (who.role === "admin" || job.user === who.name) return "";
  return `This job is ${job.user || "somebody else"}'s: they and admins decide about it.`;
}

/** Tell more of who is here, and let them leave. */
export async function introduce() {
  const facts = h("dl", { class: "facts" });
  const said = h("div");
  const opened = dialog(`${who.name}, ${who.role}`, h("div", { class: "stack" }, h("p", { class: "quiet" }, `${MEANING[who.role]}.`), facts, said,
    h("div", { class: "tools" }, h("button", { type: "button", onclick: () => opened.close() }, "Close"),
      keys ? h("button", { type: "button", id: "leave", onclick: leave }, "Sign out") : null)));

  async function leave() {
    await ask("session", { method: "DELETE" });
    location.reload();
  }

  try {
    const { quota, use } = await ask("me");
    const part = (word, used, most, told) => [h("dt", {}, word), h("dd", { class: "number" }, most ? `${told(used)} of ${told(most)}` : `${told(used)}, no limit`)];
    fill(facts, part("Jobs that have not ended", use.jobs, quota.jobs, count), part("Frames of these jobs", use.frames, quota.frames, count), part("Uploaded today", use.upload_bytes, quota.upload_bytes, bytes));
  } catch (error) {
    fill(said, problem(error));
  }
}
