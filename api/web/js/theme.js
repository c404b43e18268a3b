"use strict";
// Before the first paint, so that nothing flashes: the visitor's choice, or else the system's.
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("farm-theme");
  } catch {
    // A browser that keeps nothing shows the system's.
  }
  if (chosen) document.documentElement.dataset.theme = chosen;
}
