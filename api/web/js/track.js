// A long row of which only what can be seen is in the document: 20,000 frames cost what 20 do.

import { h } from "./dom.js";

const BEYOND = 4;

/**
 * A row that scrolls sideways.
 * `make(index)` gives an element; `update(element, index)` brings it up to date; `width` is in pixels.
 */
export class Track {
  constructor({ width, label, className, make, update, seen = () => {} }) {
    Object.assign(this, { width, make, update, seen });
    this.count = 0;
    this.items = new Map();
    this.space = h("div", { class: "space" });
    this.element = h("div", { class: `track ${className}`, role: "group", "aria-label": label, onscroll: () => this.later() }, this.space);
    this.element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.observer = new ResizeObserver(() => this.later());
    this.observer.observe(this.element);
    this.asked = 0;
  }

  /** A wheel that only turns one way moves the row, as far as the row goes. */
  wheel(event) {
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
    const { scrollLeft, scrollWidth, clientWidth } = this.element;
    const end = event.deltaY > 0 ? scrollLeft >= scrollWidth - clientWidth - 1 : scrollLeft <= 0;
    if (end) return;
    this.element.scrollLeft += event.deltaY;
    event.preventDefault();
  }

  resize(count) {
    if (count === this.count) return;
    this.count = count;
    this.space.style.width = `${count * this.width}px`;
    this.later();
  }

  later() {
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.draw();
    });
  }

  /** Indices that can be seen: first, and behind the last. */
  window() {
    const { scrollLeft, clientWidth } = this.element;
    const first = Math.floor(scrollLeft / this.width);
    return [Math.max(0, first), Math.min(this.count, Math.ceil((scrollLeft + clientWidth) / this.width))];
  }

  draw() {
    const [low, high] = this.window();
    const [first, end] = [Math.max(0, low - BEYOND), Math.min(this.count, high + BEYOND)];
    for (const [index, item] of this.items) {
      if (index < first || index >= end) {
        item.remove();
        this.items.delete(index);
      }
    }
    for (let index = first; index < end; index += 1) {
      let item = this.items.get(index);
      if (!item) {
        item = this.make(index);
        item.classList.add("item");
        item.style.left = `${index * this.width}px`;
        this.items.set(index, item);
        this.space.append(item);
      }
      this.update(item, index);
    }
    this.seen(low, high);
  }

  /** Bring an item into view, in the middle if it was far away. */
  reveal(index) {
    const { clientWidth, scrollLeft } = this.element;
    const left = index * this.width;
    if (left >= scrollLeft + this.width && left + 2 * this.width <= scrollLeft + clientWidth) return;
    this.element.scrollLeft = left - (clientWidth - this.width) / 2;
    this.later();
  }

  end() {
    this.observer.disconnect();
    cancelAnimationFrame(this.asked);
  }
}
