// Which names stand on the map: the large first, none over another, none wider than what it names.
import { CITY_TOWNS, type Town } from "./towns";
import { type Placer, placer, type Size, type View, worldPx } from "./viewport";
import { SQUARE, type World } from "./world";

export interface Label {
  key: string;
  text: string;
  x: number;
  y: number;
  kind: "country" | "city";
  /** Where the text stands by its point; a city that hides under a count has no dot. */
  side: "middle" | "right" | "left";
  dot: boolean;
}

const LETTER_PX = { country: 7.2, city: 5.9 };
/** Between two names, and for what is wider than most letters. */
const ROOM_PX = 8;
const HALF_PX = { country: 9, city: 8 };
const DOT_PX = 6;
/** A country's name gives way to a count by so much, down or up. */
const STEPS_PX = [0, 24, -24, 42, -42];
/** More names than this would be a page of text. */
const MOST = 90;
/** From here on a country is named wherever there is room, however small it is. */
const ALL_FROM_ZOOM = 6.5;
/** Beyond this no border is in sight, and the name of a country would only be in the way. */
const COUNTRIES_TO_ZOOM = 8.5;

export type Rect = [x0: number, y0: number, x1: number, y1: number];
interface Wanted extends Pick<Label, "key" | "text" | "x" | "y" | "kind"> {
  /** How far up and down it may give way: as far as it still stands on what it names. */
  reach: number;
}

/**
 * Names wanted first to last; those that would touch one already placed are left out. `marks` are the
 * pins and counts above the names: a name stands beside them, never half under them.
 */
export function placeLabels(
  world: World,
  towns: readonly Town[],
  view: View,
  size: Size,
  marks: readonly Rect[] = [],
): Label[] {
  const taken: Rect[] = [...marks];
  const placed: Label[] = [];
  for (const wanted of candidates(world, towns, view, size)) {
    const { x, y } = wanted;
    if (x < -200 || x > size.width + 200 || y < -50 || y > size.height + 50) continue;
    for (const label of standings(wanted, marks)) {
      const rect = rectOf(label);
      if (rect[2] < 0 || rect[0] > size.width || rect[3] < 0 || rect[1] > size.height) continue;
      if (taken.some((other) => touch(rect, other))) continue;
      taken.push(rect);
      placed.push(label);
      break;
    }
    if (placed.length >= MOST) break;
  }
  return placed;
}

/** Where a name may stand, the best place first. */
function* standings(wanted: Wanted, marks: readonly Rect[]): Generator<Label> {
  if (wanted.kind === "country") {
    for (const down of STEPS_PX) {
      if (Math.abs(down) > wanted.reach) continue;
      yield { ...wanted, y: wanted.y + down, side: "middle", dot: false };
    }
    return;
  }
  const { x, y } = wanted;
  const over = marks.find(([x0, y0, x1, y1]) => x >= x0 && x <= x1 && y >= y0 && y <= y1);
  if (over === undefined) {
    yield { ...wanted, x: x + DOT_PX, side: "right", dot: true };
    yield { ...wanted, x: x - DOT_PX, side: "left", dot: true };
    return;
  }
  const middle = (over[1] + over[3]) / 2;
  yield { ...wanted, x: over[2] + 1, y: middle, side: "right", dot: false };
  yield { ...wanted, x: over[0] - 1, y: middle, side: "left", dot: false };
  const across = (over[0] + over[2]) / 2;
  yield { ...wanted, x: across, y: over[3] + HALF_PX.city, side: "middle", dot: false };
  yield { ...wanted, x: across, y: over[1] - HALF_PX.city, side: "middle", dot: false };
}

function rectOf({ text, x, y, kind, side, dot }: Label): Rect {
  const width = text.length * LETTER_PX[kind] + ROOM_PX;
  const half = HALF_PX[kind];
  if (side === "middle") return [x - width / 2, y - half, x + width / 2, y + half];
  const point = dot ? DOT_PX + 3 : 0;
  return side === "right"
    ? [x - point, y - half, x + width + 4, y + half]
    : [x - width - 4, y - half, x + point, y + half];
}

/** Large cities, then countries, then the towns that fill what is left. */
function* candidates(
  world: World,
  towns: readonly Town[],
  view: View,
  size: Size,
): Generator<Wanted> {
  const place = placer(view, size);
  yield* named(CITY_TOWNS, "c", view, place);
  if (view.zoom < COUNTRIES_TO_ZOOM) {
    const scale = worldPx(view.zoom) / SQUARE;
    const bySize = [...world.countries].sort((a, b) => b.label.area - a.label.area);
    for (const { name, label } of bySize) {
      const needed = name.length * LETTER_PX.country;
      if (label.width * scale < needed * 1.02 && view.zoom < ALL_FROM_ZOOM) continue;
      const [x, y] = place(label.x / SQUARE, label.y / SQUARE);
      yield {
        key: `n ${name}`,
        text: name,
        x,
        y,
        kind: "country",
        reach: (label.width * scale) / 4,
      };
    }
  }
  yield* named(towns, "t", view, place);
}

function* named(
  towns: readonly Town[],
  prefix: string,
  view: View,
  place: Placer,
): Generator<Wanted> {
  for (const { name, x, y, from } of towns) {
    if (view.zoom < from) continue;
    const [sx, sy] = place(x, y);
    yield { key: `${prefix} ${name} ${x}`, text: name, x: sx, y: sy, kind: "city", reach: 0 };
  }
}

function touch(a: Rect, b: Rect): boolean {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}
