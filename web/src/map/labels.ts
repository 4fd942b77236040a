// Which names stand on the map: the large first, none over another, none wider than what it names.
import { CITIES } from "./cities";
import { type Size, toScreen, type View, worldPx } from "./viewport";
import { SQUARE, type World } from "./world";

export interface Label {
  key: string;
  text: string;
  x: number;
  y: number;
  kind: "country" | "city";
}

const LETTER_PX = { country: 6.9, city: 5.9 };

type Rect = [x0: number, y0: number, x1: number, y1: number];

/** Names wanted first to last; those that would touch one already placed are left out. */
export function placeLabels(world: World, view: View, size: Size): Label[] {
  const taken: Rect[] = [];
  const placed: Label[] = [];
  for (const label of candidates(world, view, size)) {
    const half = (label.text.length * LETTER_PX[label.kind]) / 2;
    const rect: Rect =
      label.kind === "country"
        ? [label.x - half, label.y - 9, label.x + half, label.y + 9]
        : [label.x - 5, label.y - 8, label.x + half * 2 + 10, label.y + 8];
    if (rect[2] < 0 || rect[0] > size.width || rect[3] < 0 || rect[1] > size.height) continue;
    if (taken.some((other) => touch(rect, other))) continue;
    taken.push(rect);
    placed.push(label);
  }
  return placed;
}

function* candidates(world: World, view: View, size: Size): Generator<Label> {
  const scale = worldPx(view.zoom) / SQUARE;
  for (const [text, lng, lat, from] of CITIES) {
    if (view.zoom < from) continue;
    const [x, y] = toScreen(view, size, lng, lat);
    yield { key: `c ${text}`, text, x, y, kind: "city" };
  }
  const bySize = [...world.countries].sort((a, b) => b.label.area - a.label.area);
  for (const { name, label } of bySize) {
    const needed = name.length * LETTER_PX.country;
    if (label.width * scale < needed * 1.02 && view.zoom < 6.5) continue;
    const [x, y] = squareToScreen(view, size, label.x, label.y);
    yield { key: `n ${name}`, text: name, x, y, kind: "country" };
  }
}

function squareToScreen(view: View, size: Size, x: number, y: number): [number, number] {
  const lng = (x / SQUARE) * 360 - 180;
  const rad = Math.atan(Math.sinh((0.5 - y / SQUARE) * 2 * Math.PI));
  return toScreen(view, size, lng, (rad * 180) / Math.PI);
}

function touch(a: Rect, b: Rect): boolean {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}
