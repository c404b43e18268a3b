// Files on their way to the farm, with how far they are.

import { ROOT, Problem, post } from "./api.js";

/** Send one file; the farm's view of it. `told(share)` is called as it goes. */
export function send(blob, name, told = () => {}) {
  return new Promise((done, failed) => {
    // Only this old way of asking tells how much has been sent.
    const request = new XMLHttpRequest();
    request.open("POST", `${ROOT}/uploads?name=${encodeURIComponent(name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => told(event.lengthComputable ? event.loaded / event.total : 0));
    request.addEventListener("error", () => failed(new Problem(0, { title: "The upload broke off", detail: "The farm does not answer. Check the connection and drop the file again." })));
    request.addEventListener("load", () => (request.status < 300 ? done(request.response) : failed(new Problem(request.status, request.response ?? {}))));
    request.send(blob);
  });
}

/** Send what was dropped: one file as it is, several pictures as one clip. */
export async function sendAll(files, told) {
  if (files.length === 1) return send(files[0], files[0].name, told);
  const sorted = [...files].sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
  const items = [];
  for (const [index, file] of sorted.entries()) {
    const { uri } = await send(file, file.name);
    items.push({ name: file.name, uri });
    told((index + 1) / sorted.length);
  }
  return post("uploads/collections", { name: sorted[0].name.replace(/[\d._-]+\w+$/, "") || "pictures", items });
}
