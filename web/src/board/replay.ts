// A replay without a clock of its own: given a share of the event's time, it says which pins have dropped.
import type { Replay } from "../api/types";

/** An event in a minute. */
export const REPLAY_MS = 60_000;

export class Playback {
  readonly replay: Replay;
  /** The pins of each place so far. */
  readonly counts: Uint32Array;
  /** All of them together. */
  dropped = 0;
  /** When each entry drops, as a share of the whole time. */
  private readonly dues: Float64Array;
  private next = 0;

  constructor(replay: Replay) {
    this.replay = replay;
    this.counts = new Uint32Array(replay.places.length);
    this.dues = duesOf(replay);
  }

  /**
   * Moves to a share of the time and hands each place on whose pins dropped on the way. Moving back
   * begins anew: then nothing is handed on, and the answer is false; all of it is to be drawn again.
   */
  seek(share: number, onDrop: (place: number) => void): boolean {
    const back = this.next > 0 && (this.dues[this.next - 1] ?? 0) > share;
    if (back) {
      this.counts.fill(0);
      this.dropped = 0;
      this.next = 0;
    }
    const { pins } = this.replay;
    while (this.next < pins.length && (this.dues[this.next] ?? 1) <= share) {
      const [, place, count] = pins[this.next] ?? [0, 0, 0];
      this.counts[place] = (this.counts[place] ?? 0) + count;
      this.dropped += count;
      this.next += 1;
      if (!back) onDrop(place);
    }
    return !back;
  }

  /** The moment at a share of the time; null for an event without pins. */
  momentAt(share: number): Date | null {
    const { from, to } = this.replay;
    if (from === null || to === null) return null;
    const start = Date.parse(from);
    return new Date(start + (Date.parse(to) - start) * share);
  }
}

/** The entries of a step are spread evenly over it, so that a step is a shower and not a splash. */
function duesOf({ pins, steps }: Replay): Float64Array {
  const dues = new Float64Array(pins.length);
  let start = 0;
  while (start < pins.length) {
    const step = pins[start]?.[0] ?? 0;
    let end = start;
    while (end < pins.length && pins[end]?.[0] === step) end += 1;
    for (let index = start; index < end; index += 1) {
      dues[index] = (step + (index - start + 0.5) / (end - start)) / steps;
    }
    start = end;
  }
  return dues;
}

const DAY_MS = 86_400_000;

/** How moments of an event are told: with the day only where it has several. */
export function momentFormat({ from, to }: Replay): Intl.DateTimeFormat {
  const long = from !== null && to !== null && Date.parse(to) - Date.parse(from) > 20 * 3_600_000;
  const short = from !== null && to !== null && Date.parse(to) - Date.parse(from) < DAY_MS / 24;
  return new Intl.DateTimeFormat(undefined, {
    ...(long ? ({ weekday: "short", day: "numeric", month: "short" } as const) : {}),
    hour: "2-digit",
    minute: "2-digit",
    ...(short ? ({ second: "2-digit" } as const) : {}),
  });
}
