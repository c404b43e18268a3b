// A job's map as the API sends it: run lengths become answers to "how does frame 1,234 stand?".

export const LEGEND = [["d", "done"], ["a", "active"], ["r", "ready"], ["w", "waits"], ["q", "later"], ["s", "tried again"], ["f", "failed"], ["e", "eaten"], ["c", "canceled"]];
export const WORDS = { ...Object.fromEntries(LEGEND), "-": "nothing to do" };

/** `2d1a` -> `dda`. */
export const expand = (runs) => runs.replace(/(\d+)([a-z-])/g, (_, length, letter) => letter.repeat(Number(length)));

export class ChunkMap {
  constructor(answer) {
    this.revision = answer.revision;
    this.frames = answer.frames;
    this.size = answer.chunk;
    this.count = answer.chunks;
    this.states = expand(answer.states);
    this.sources = Object.entries(answer.segments).map(([name, runs]) => [name, expand(runs)]);
    this.numbers = answer.numbers;
  }

  /** Chunk of the frame with this index, from 0. */
  chunkOf(index) {
    return Math.min(this.count - 1, Math.floor(index / this.size));
  }

  /** First frame of a chunk, and the one behind its last, as indices. */
  range(chunk) {
    return [chunk * this.size, Math.min(this.frames, (chunk + 1) * this.size)];
  }

  /** Letter of the frame with this index. */
  state(index) {
    return this.states[this.chunkOf(index)] ?? "q";
  }

  /** Whether the frame's chunk is planned, so that its picture is decoded. */
  decoded(index) {
    const chunk = this.chunkOf(index);
    return this.states[chunk] === "d" || this.sources.some(([, letters]) => !"-q".includes(letters[chunk]));
  }

  /** The frame's number, as people count. */
  number(index) {
    let low = 0;
    let high = this.numbers.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.numbers[middle][0] <= index) low = middle;
      else high = middle - 1;
    }
    const [before, first, step] = this.numbers[low];
    return first + (index - before) * step;
  }

  /** Index of the frame with this number, or of the nearest one before it. */
  index(number) {
    let found = 0;
    for (const [before, first, step] of this.numbers) {
      if (first > number) break;
      found = before + Math.floor((number - first) / step);
    }
    return Math.max(0, Math.min(this.frames - 1, found));
  }

  /** Letters that occur, for the legend. */
  used() {
    return new Set([...this.states, ...this.sources.flatMap(([, letters]) => [...new Set(letters)])]);
  }
}
