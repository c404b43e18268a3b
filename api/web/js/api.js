// The farm's API: questions, errors in its own words, streams.

export const ROOT = "/api/v1";
const RECONNECT_MS = 3000;
const TRIES = 4;
const AGAIN_MS = 400;

/** What the API answered instead of what was asked for (problem+json). */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || `The farm answered ${status} without a word.`);
    this.status = status;
    this.title = body.title;
    this.errors = body.errors ?? [];
  }
}

/** Ask the API; the JSON of its answer. Throws a Problem. */
export async function ask(path, { method = "GET", json, body, headers = {}, signal } = {}) {
  const request = { method, headers: { ...headers }, body, signal };
  if (json !== undefined) {
    request.body = JSON.stringify(json);
    request.headers["Content-Type"] = "application/json";
  }
  const answer = await reach(path.startsWith("/") ? path : `${ROOT}/${path}`, request);
  if (answer.status === 204) return null;
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    // A proxy's page, not the farm's answer.
  }
  if (answer.status === 401) window.dispatchEvent(new Event("farm-key"));
  throw new Problem(answer.status, told);
}

/** Questions are asked again where the network fails for a moment; what changes something is sent once. */
async function reach(address, request, tried = 1) {
  try {
    return await fetch(address, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (request.method === "GET" && tried < TRIES) {
      await new Promise((done) => setTimeout(done, AGAIN_MS * 2 ** (tried - 1)));
      return reach(address, request, tried + 1);
    }
    throw new Problem(0, { title: "The farm does not answer", detail: "Check that its API runs and that this machine reaches it, and try again." });
  }
}

export const post = (path, json) => ask(path, { method: "POST", json });

let document_ = null;
/** The OpenAPI document, asked for once. */
export function openapi() {
  document_ ??= ask("/openapi.json").catch((error) => {
    document_ = null;
    throw error;
  });
  return document_;
}

/** What can be done with jobs on this farm: the names of its actions, whether it may be rejected, and whether its priority may be changed. */
export async function abilities() {
  const { components, paths } = await openapi();
  return {
    actions: new Set(components.schemas.Action?.properties?.action?.enum ?? []),
    reject: Boolean(paths[`${ROOT}/jobs/{job_id}/reject`]?.post),
    priority: Boolean(paths[`${ROOT}/jobs/{job_id}`]?.patch),
  };
}

/**
 * Follow a stream of events, over restarts of the server: the browser sends `Last-Event-ID` by itself.
 * Returns a function that ends it. `told` is called with true and false as the line comes and goes.
 */
export function follow(path, handlers, told = () => {}) {
  let source = null;
  let timer = null;
  let ended = false;
  function open() {
    source = new EventSource(`${ROOT}/${path}`);
    source.addEventListener("open", () => told(true));
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        told(true);
        handle(JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      if (ended) return;
      told(false);
      // Closed for good by an answer that is no stream: a farm that starts, or a key that is asked for.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, RECONNECT_MS);
    });
  }
  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    source.close();
  };
}
