"""Pure maths of the two detailer nodes: rectangles, segments, sizes, blending, order. Numbers in, numbers out."""
