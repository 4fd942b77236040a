// Counts that would lie over one another on the screen become one. No pin is lost: the sum stays.
import { type Bbox, type Cell, isPin, type Pin } from "../api/types";
import { cellRadius } from "./Markers";
import { fromUnit, normalLng, toUnit, worldPx } from "./viewport";

/** How far discs may reach into each other before they merge. */
const TOUCH = 0.85;
/** The head of a pin stands above its tip. */
const PIN_HEAD_PX = 16;
const PIN_HALF_PX = 7;
const MOST_PASSES = 4;

interface Group {
  id: string;
  x: number;
  y: number;
  count: number;
  bbox: Bbox;
  /** The cell that it began as; still that one while nothing has joined. */
  cell: Cell | null;
}

/** East and west of the first box kept apart from the longitude's wrap, whatever the second's notation. */
export function union(a: Bbox, b: Bbox): Bbox {
  const eastOf = (box: Bbox): number => (box[2] < box[0] ? box[2] + 360 : box[2]);
  const aEast = eastOf(a);
  const middle = (a[0] + aEast) / 2;
  const bMiddle = (b[0] + eastOf(b)) / 2;
  const shift = Math.round((middle - bMiddle) / 360) * 360;
  const west = Math.min(a[0], b[0] + shift);
  const east = Math.max(aEast, eastOf(b) + shift);
  const south = Math.min(a[1], b[1]);
  const north = Math.max(a[3], b[3]);
  if (east - west >= 360) return [-180, south, 180, north];
  return [normalLng(west), south, east === 180 ? 180 : normalLng(east), north];
}

function distance(a: Group, b: { x: number; y: number }, world: number): number {
  const dx = a.x - b.x;
  return Math.hypot(dx - Math.round(dx / world) * world, a.y - b.y);
}

function join(into: Group, other: Group, world: number): void {
  const share = other.count / (into.count + other.count);
  const dx = other.x - into.x;
  into.x += (dx - Math.round(dx / world) * world) * share;
  into.y += (other.y - into.y) * share;
  into.count += other.count;
  into.bbox = union(into.bbox, other.bbox);
  into.cell = null;
}

/** `alone` are pins that have just arrived: they may stand over a count until they have been seen. */
export function mergeOverlaps(
  features: (Cell | Pin)[],
  zoom: number,
  alone: ReadonlySet<string>,
): (Cell | Pin)[] {
  const world = worldPx(zoom);
  const place = (feature: Cell | Pin): { x: number; y: number } => {
    const [x, y] = toUnit(...feature.geometry.coordinates);
    return { x: x * world, y: y * world };
  };
  const cells = features
    .filter((feature): feature is Cell => !isPin(feature))
    .sort((a, b) => b.properties.count - a.properties.count);
  let groups = cells.map(
    (cell): Group => ({
      id: cell.id,
      ...place(cell),
      count: cell.properties.count,
      bbox: cell.properties.bbox,
      cell,
    }),
  );
  for (let pass = 0; pass < MOST_PASSES; pass += 1) {
    const merged = mergeOnce(groups, world);
    if (merged.length === groups.length) break;
    groups = merged;
  }
  const pins = features.filter(isPin).filter((pin) => {
    if (alone.has(pin.properties.submission)) return true;
    const { x, y } = place(pin);
    const over = groups.find(
      (group) =>
        Math.min(
          distance(group, { x, y }, world),
          distance(group, { x, y: y - PIN_HEAD_PX }, world) - PIN_HALF_PX,
        ) < cellRadius(group.count),
    );
    if (over === undefined) return true;
    const [lng, lat] = pin.geometry.coordinates;
    join(over, { id: "", x, y, count: 1, bbox: [lng, lat, lng, lat], cell: null }, world);
    return false;
  });
  return [...groups.map((group) => group.cell ?? cellOf(group, world)), ...pins];
}

function mergeOnce(groups: Group[], world: number): Group[] {
  const kept: Group[] = [];
  for (const group of groups) {
    const near = kept.find(
      (other) =>
        distance(other, group, world) < (cellRadius(other.count) + cellRadius(group.count)) * TOUCH,
    );
    if (near === undefined) kept.push(group);
    else join(near, group, world);
  }
  return kept;
}

function cellOf({ id, x, y, count, bbox }: Group, world: number): Cell {
  const [lng, lat] = fromUnit(x / world, y / world);
  return {
    type: "Feature",
    id,
    geometry: { type: "Point", coordinates: [normalLng(lng), lat] },
    properties: { count, bbox },
  };
}
