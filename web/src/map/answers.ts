// Answers about parts of the map, kept for whoever comes back to them.
import type { Bbox, Pins } from "../api/types";

export interface KeptAnswer {
  zoom: number;
  bbox: Bbox;
  /** Asked for in this round; in a later one it is shown at once, and asked for again. */
  round: number;
  answer: Pins;
}

const MOST = 24;

export class Answers {
  private kept: KeptAnswer[] = [];

  /** The newest answer on this zoom that holds all of the window. */
  find(zoom: number, window: Bbox): KeptAnswer | null {
    return this.kept.find((one) => one.zoom === zoom && covers(one.bbox, window)) ?? null;
  }

  keep(one: KeptAnswer): void {
    const rest = this.kept.filter((old) => old.zoom !== one.zoom || !covers(one.bbox, old.bbox));
    this.kept = [one, ...rest].slice(0, MOST);
  }

  /** Pins may have gone: nothing kept may be shown again. */
  clear(): void {
    this.kept = [];
  }
}

/** Whether a box that was fetched holds all of what is now in the window. */
export function covers(outer: Bbox, inner: Bbox): boolean {
  if (inner[1] < outer[1] - 1e-9 || inner[3] > outer[3] + 1e-9) return false;
  if (outer[2] - outer[0] >= 360) return true;
  const span = (box: Bbox): number => (box[2] - box[0] + 360) % 360 || 360;
  const offset = (inner[0] - outer[0] + 720) % 360;
  return offset + span(inner) <= span(outer) + 1e-9;
}
