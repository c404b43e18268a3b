// What people did with a job, and whom the farm told of it.

import { ask } from "./api.js";
import { fill, h, problem } from "./dom.js";
import { ago, clock, some } from "./format.js";

const SHOWN = 50;
const DID = { submit: "submitted it", approve: "approved it", reject: "rejected it", pause: "paused it", resume: "let it go on", cancel: "canceled it", retry: "had it tried again",
  eat: "kept original pixels", unblock: "let blocked workers try again", adjust: "changed it", recover: "recovered it", delete: "deleted it" };
const SENT = { sent: "told", waiting: "to be told", dead: "given up" };

/** The folded list; it asks when it is opened, and again each time. */
export function history(id) {
  const list = h("ol", {});
  const element = h("details", { class: "card params history" }, h("summary", {}, "History"), h("section", {}, list));
  element.addEventListener("toggle", () => (element.open ? load() : null));

  async function load() {
    try {
      const [audit, notices] = await Promise.all([ask(`jobs/${id}/audit?limit=${SHOWN}`), ask(`jobs/${id}/notices`)]);
      const lines = [...audit.items.map(decided), ...notices.latest.map(told)].sort((one, other) => (Date.parse(one.at) < Date.parse(other.at) ? 1 : -1));
      fill(list, lines.map(line), audit.next_cursor ? h("li", { class: "quiet small" }, `Older: farm job audit, or GET /api/v1/jobs/${id}/audit.`) : null,
        lines.length ? null : h("li", { class: "quiet" }, "Nobody has decided anything about this job yet."));
    } catch (error) {
      fill(list, h("li", {}, problem(error)));
    }
  }

  return element;
}

function decided(entry) {
  const verb = entry.action.replace(/^job\./, "");
  // The job's own name stands at the top of its page.
  const values = Object.entries(entry.details).filter(([name]) => name !== "name").map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
  const failed = entry.outcome === "done" ? "" : `${entry.outcome}: ${entry.error}`;
  return { at: entry.at, who: entry.actor, what: DID[verb] ?? entry.action, more: [entry.reason && `“${entry.reason}”`, values].filter(Boolean).join(" · "), failed };
}

function told(notice) {
  const last = notice.attempts.at(-1);
  const tries = notice.attempts.length > 1 ? `, ${some(notice.attempts.length, "attempt")}` : "";
  return { at: last?.at ?? notice.next_attempt ?? "", who: notice.to, what: `${SENT[notice.state] ?? notice.state}: ${notice.kind}${tries}`, more: notice.by, failed: notice.state === "sent" ? "" : last?.error ?? "" };
}

const line = ({ at, who, what, more, failed }) => h("li", {},
  h("time", { class: "quiet small number", datetime: at, title: clock(at) }, ago(at)),
  h("span", {}, h("b", {}, who), ` ${what}`, more ? h("span", { class: "quiet" }, ` ${more}`) : null, failed ? h("span", { class: "error" }, failed) : null));
