// Numbers and times for people.

export const count = (number) => number.toLocaleString("en-US");

/** `1 frame`, `12 frames`. */
export const some = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86400).toFixed(1)} days`;
}

/** `in about 4 min`, in words that do not jump about. */
export const left = (eta) => (eta ? `${duration(eta.seconds)} left` : "");

export function ago(stamp) {
  if (!stamp) return "";
  const seconds = (Date.now() - Date.parse(stamp)) / 1000;
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

export const clock = (stamp) => (stamp ? new Date(stamp).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) : "");

export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (number >= 1000 && power < units.length - 1) {
    number /= 1000;
    power += 1;
  }
  return `${number < 10 && power ? number.toFixed(1) : Math.round(number)} ${units[power]}`;
}

/** 0.8412 -> `84 %`; full only when all is done. */
export const percent = (share) => `${share >= 1 ? 100 : Math.min(99, Math.floor(share * 100))} %`;

/** `crop_factor` -> `crop factor`. */
export const words = (name) => name.replaceAll("_", " ");
