// Two pictures of the same frame and a divider between them.

import { h, picture } from "./dom.js";

/** The slider; `aspect` is width over height of the pictures. */
export function compare(aspect, ...over) {
  let share = 50;
  const before = h("img", { class: "before", alt: "The frame before", draggable: "false" });
  const after = h("img", { class: "after", alt: "The frame after", draggable: "false" });
  const tags = [h("span", { class: "tag before" }, "Before"), h("span", { class: "tag then" }, "After")];
  const line = h("div", { class: "line" });
  const pictures = h("div", { class: "pictures", style: { "--aspect": String(aspect) } }, before, after, over, line, tags);
  const slider = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "Before and after", oninput: () => split(Number(slider.value)) });

  pictures.addEventListener("pointerdown", (event) => {
    pictures.setPointerCapture(event.pointerId);
    drag(event);
  });
  pictures.addEventListener("pointermove", (event) => (event.buttons ? drag(event) : null));

  function drag(event) {
    if (slider.disabled) return;
    const { left, width } = pictures.getBoundingClientRect();
    split(((event.clientX - left) / width) * 100);
  }

  function split(percent) {
    share = Math.max(0, Math.min(100, percent));
    pictures.style.setProperty("--at", `${share}%`);
    slider.value = Math.round(share);
    slider.setAttribute("aria-valuetext", share <= 0 ? "after" : share >= 100 ? "before" : `${Math.round(share)} % before`);
    tags[0].hidden = slider.disabled || share < 12;
    tags[1].hidden = slider.disabled || share > 88;
  }

  split(50);
  return {
    pictures,
    slider,
    split,
    share: () => share,
    flip: () => split(share >= 50 ? 0 : 100),
    /** Show these addresses; without `to` there is no divider. */
    show(from, to) {
      put(before, from);
      after.hidden = !to;
      line.hidden = !to;
      slider.disabled = !to;
      if (to) put(after, to);
      split(share);
    },
  };
}

/** The old picture stays until the new one is there. */
function put(image, address) {
  if (image.dataset.wanted === address) return;
  image.dataset.wanted = address;
  // Before the thumbnails.
  picture(address, { priority: "high", wanted: () => image.dataset.wanted === address, there: () => { image.src = address; } });
}
