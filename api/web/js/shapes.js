// What was drawn on a frame, as a list: it can be taken back, and laid down at any size.

export class Drawing {
  constructor() {
    this.shapes = [];
  }

  get empty() {
    return !this.shapes.some((shape) => !shape.erase);
  }

  add(shape) {
    this.shapes.push(shape);
  }

  remove(shape) {
    this.shapes = this.shapes.filter((one) => one !== shape);
  }

  undo() {
    this.shapes.pop();
  }

  clear() {
    this.shapes = [];
  }

  /** The topmost box at a place, and the corner that is nearer than `reach` to it: `{box, corner}`; null: none. */
  at([x, y], reach) {
    for (const box of this.shapes.filter((shape) => shape.kind === "box").reverse()) {
      const [left, top, width, height] = area(box);
      if (x < left - reach || y < top - reach || x > left + width + reach || y > top + height + reach) continue;
      [box.from, box.to] = [[left, top], [left + width, top + height]];
      const sides = [[left, left + width], [top, top + height]].map((ends, axis) => ends.findIndex((end) => Math.abs(end - [x, y][axis]) <= reach));
      return { box, corner: sides.includes(-1) ? null : sides.map((side) => ["from", "to"][side]) };
    }
    return null;
  }

  /** The last thing drawn, if it is a box. */
  get box() {
    const last = this.shapes.at(-1);
    return last?.kind === "box" ? last : null;
  }

  /** Lay everything down on a transparent canvas; `scale` is its pixels per pixel of the frame. */
  paint(pen, scale, color) {
    pen.save();
    pen.scale(scale, scale);
    pen.lineCap = "round";
    pen.lineJoin = "round";
    pen.fillStyle = color;
    pen.strokeStyle = color;
    for (const shape of this.shapes) {
      pen.globalCompositeOperation = shape.erase ? "destination-out" : "source-over";
      if (shape.kind === "box") pen.fillRect(...area(shape));
      else stroke(pen, shape);
    }
    pen.restore();
  }

  /** The mask as a PNG of the frame's size: white is repainted. */
  async png(width, height) {
    const layer = new OffscreenCanvas(width, height);
    this.paint(layer.getContext("2d"), 1, "#fff");
    const mask = new OffscreenCanvas(width, height);
    const pen = mask.getContext("2d");
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, width, height);
    pen.drawImage(layer, 0, 0);
    return mask.convertToBlob({ type: "image/png" });
  }
}

/** x, y, width, height of a box that may have been drawn in any direction; whole pixels. */
export function area({ from, to }) {
  const [x, y] = [Math.round(Math.min(from[0], to[0])), Math.round(Math.min(from[1], to[1]))];
  return [x, y, Math.round(Math.max(from[0], to[0])) - x, Math.round(Math.max(from[1], to[1])) - y];
}

function stroke(pen, { points, size }) {
  pen.lineWidth = size;
  pen.beginPath();
  pen.moveTo(...points[0]);
  // A click without a move is a dot.
  for (const point of points.length > 1 ? points.slice(1) : points) pen.lineTo(...point);
  pen.stroke();
}
