// Where places lie on the board: the inhabited world, once, as large as the room allows.
import { type Size, TILE, toUnit } from "../map/viewport";

/** Cut in the middle of the Pacific, so that no land is. */
const LEFT_LNG = -170;
const NORTH = 80;
const SOUTH = -58;

export interface Plane {
  /** The width of the whole world in pixels. */
  world: number;
  /** Where its left and upper edges lie. */
  left: number;
  top: number;
  /** The Web Mercator zoom, for choosing the detail of the coast. */
  zoom: number;
}

export function planeOf({ width, height }: Size): Plane {
  const [, north] = toUnit(0, NORTH);
  const [, south] = toUnit(0, SOUTH);
  const world = Math.max(1, Math.min(width, height / (south - north)));
  return {
    world,
    left: (width - world) / 2,
    top: height / 2 - ((north + south) / 2) * world,
    zoom: Math.log2(world / TILE),
  };
}

export function placeOn({ world, left, top }: Plane, lng: number, lat: number): [number, number] {
  const [x, y] = toUnit(lng, lat);
  const turned = x - (LEFT_LNG + 180) / 360;
  return [left + (turned - Math.floor(turned)) * world, top + y * world];
}

/** How far a world that begins at -180 lies left of the plane's edge. */
export function turnOf({ world }: Plane): number {
  return ((LEFT_LNG + 180) / 360) * world;
}

/** How much larger than on a small map things are drawn. */
export function scaleOf({ world }: Plane): number {
  return Math.max(0.75, world / 900);
}
