// The mathematics of the map: Web Mercator, the view (centre and zoom), and what the API is asked for it.
import type { Bbox } from "../api/types";

/** Where the map looks: the centre in degrees and a Web Mercator zoom, not rounded. */
export interface View {
  lng: number;
  lat: number;
  zoom: number;
}

export interface Size {
  width: number;
  height: number;
}

export interface Insets {
  top: number;
  right: number;
  bottom: number;
  left: number;
}

/** The world is 256 px wide at zoom 0, as with every web map. */
export const TILE = 256;
export const MAX_ZOOM = 14;
/** The latitude at which a Mercator world is square. */
export const MAX_LAT = 85.05112878;
/** In wider windows the list lies over the right of the map (over.css). */
export const WIDE_PX = 900;
/** The width of the list there, and its margin on each side. */
export const LIST_PX = 320;
export const LIST_MARGIN_PX = 16;

const RAD = Math.PI / 180;

export function worldPx(zoom: number): number {
  return TILE * 2 ** zoom;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** Degrees to [-180, 180). */
export function normalLng(lng: number): number {
  return ((((lng + 180) % 360) + 360) % 360) - 180;
}

/** Degrees to the unit square; x grows eastwards, y southwards. */
export function toUnit(lng: number, lat: number): [x: number, y: number] {
  const sin = Math.sin(clamp(lat, -MAX_LAT, MAX_LAT) * RAD);
  return [(lng + 180) / 360, 0.5 - Math.log((1 + sin) / (1 - sin)) / (4 * Math.PI)];
}

export function fromUnit(x: number, y: number): [lng: number, lat: number] {
  const lat = (2 * Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) - Math.PI / 2) / RAD;
  return [x * 360 - 180, clamp(lat, -MAX_LAT, MAX_LAT)];
}

/** Where a place lies on the screen; of its copies round the world, the one that is shown. */
export function toScreen(view: View, size: Size, lng: number, lat: number): [number, number] {
  return placer(view, size)(...toUnit(lng, lat));
}

export type Placer = (x: number, y: number) => [number, number];

/** The same for many places, by their points in the unit square. */
export function placer(view: View, size: Size): Placer {
  const [cx, cy] = toUnit(view.lng, view.lat);
  const world = worldPx(view.zoom);
  // How far the middle of what is shown lies from the window's, in worlds.
  const middle = (shownWidth(view, size) - size.width) / 2 / world;
  return (x, y) => {
    const dx = x - cx;
    const copy = Math.round(dx - middle);
    return [size.width / 2 + (dx - copy) * world, size.height / 2 + (y - cy) * world];
  };
}

/** So much of the window shows the world, from the left: what is left of it beside one world is water. */
export function shownWidth(view: View, size: Size): number {
  return Math.min(size.width, worldPx(view.zoom));
}

export function fromScreen(view: View, size: Size, sx: number, sy: number): [number, number] {
  const [cx, cy] = toUnit(view.lng, view.lat);
  const world = worldPx(view.zoom);
  const [lng, lat] = fromUnit(
    cx + (sx - size.width / 2) / world,
    cy + (sy - size.height / 2) / world,
  );
  return [normalLng(lng), lat];
}

/** The zoom at which one world covers the window: links lead no further out. */
export function minZoom(size: Size): number {
  return Math.max(0, Math.log2(Math.max(size.width, size.height, 1) / TILE));
}

/** How much of the window's width the list takes. */
export function listWidth(size: Size): number {
  return size.width > WIDE_PX ? LIST_PX + 2 * LIST_MARGIN_PX : 0;
}

/** The zoom at which one world covers what the list leaves free: nobody gets further out. */
export function leastZoom(size: Size): number {
  return minZoom({ width: size.width - listWidth(size), height: size.height });
}

/** The nearest view that there is, not further out than `least`. */
export function clampView(view: View, size: Size, least = minZoom(size)): View {
  const zoom = clamp(view.zoom, Math.min(least, MAX_ZOOM), MAX_ZOOM);
  const half = size.height / 2 / worldPx(zoom);
  const y = toUnit(0, view.lat)[1];
  const lat = fromUnit(0, half >= 0.5 ? 0.5 : clamp(y, half, 1 - half))[1];
  return { lng: normalLng(view.lng), lat, zoom };
}

export function panBy(view: View, size: Size, dx: number, dy: number): View {
  const [x, y] = toUnit(view.lng, view.lat);
  const world = worldPx(view.zoom);
  const [lng, lat] = fromUnit(x + dx / world, clamp(y + dy / world, 0, 1));
  return clampView({ lng, lat, zoom: view.zoom }, size, leastZoom(size));
}

/** Zooms so that what lies under (sx, sy) stays there. */
export function zoomAround(view: View, size: Size, sx: number, sy: number, zoom: number): View {
  const least = leastZoom(size);
  const to = clamp(zoom, Math.min(least, MAX_ZOOM), MAX_ZOOM);
  const [x, y] = toUnit(view.lng, view.lat);
  const shift = 1 / worldPx(view.zoom) - 1 / worldPx(to);
  const [lng, lat] = fromUnit(
    x + (sx - size.width / 2) * shift,
    y + (sy - size.height / 2) * shift,
  );
  return clampView({ lng, lat, zoom: to }, size, least);
}

/** What the API is asked for: the window with a margin; west > east crosses the antimeridian. */
export function bboxOf(view: View, size: Size, margin = 0.2): Bbox {
  const [cx, cy] = toUnit(view.lng, view.lat);
  const world = worldPx(view.zoom);
  const halfX = (size.width * (0.5 + margin)) / world;
  const halfY = (size.height * (0.5 + margin)) / world;
  const north = fromUnit(0, Math.max(0, cy - halfY))[1];
  const south = fromUnit(0, Math.min(1, cy + halfY))[1];
  if (halfX >= 0.5) return [-180, south, 180, north];
  return [
    normalLng(fromUnit(cx - halfX, 0)[0]),
    south,
    normalLng(fromUnit(cx + halfX, 0)[0]),
    north,
  ];
}

/** The API counts on whole zooms only. */
export function apiZoom(zoom: number): number {
  return clamp(Math.round(zoom), 0, MAX_ZOOM);
}

/** The view that shows a whole box between the insets; a box of no size is shown at `maxZoom`. */
export function fitBbox(bbox: Bbox, size: Size, insets: Insets, maxZoom = MAX_ZOOM): View {
  const [west, south, rawEast, north] = bbox;
  const east = rawEast < west ? rawEast + 360 : rawEast;
  const [x0, y0] = toUnit(west, north);
  const [x1, y1] = toUnit(east, south);
  const width = Math.max(1, size.width - insets.left - insets.right);
  const height = Math.max(1, size.height - insets.top - insets.bottom);
  const scale = Math.min(width / Math.max(x1 - x0, 1e-9), height / Math.max(y1 - y0, 1e-9));
  const zoom = clamp(Math.log2(scale / TILE), 0, maxZoom);
  const world = worldPx(zoom);
  const [lng, lat] = fromUnit(
    (x0 + x1) / 2 + (insets.right - insets.left) / 2 / world,
    (y0 + y1) / 2 + (insets.bottom - insets.top) / 2 / world,
  );
  return clampView({ lng, lat, zoom }, size);
}

/** Between two views (t from 0 to 1): zoom runs evenly, the centre along the line that looks straight. */
export function between(from: View, to: View, t: number): View {
  if (t >= 1) return to;
  const zoom = from.zoom + (to.zoom - from.zoom) * t;
  const [x0, y0] = toUnit(from.lng, from.lat);
  const [rawX1, y1] = toUnit(to.lng, to.lat);
  const x1 = rawX1 - Math.round(rawX1 - x0);
  const away =
    Math.abs(to.zoom - from.zoom) < 1e-6
      ? 1 - t
      : (1 / worldPx(zoom) - 1 / worldPx(to.zoom)) /
        (1 / worldPx(from.zoom) - 1 / worldPx(to.zoom));
  const [lng, lat] = fromUnit(x1 + (x0 - x1) * away, y1 + (y0 - y1) * away);
  return { lng: normalLng(lng), lat, zoom };
}

/** The first view: the whole world, where the list leaves it free. */
export function startView(size: Size): View {
  const world = { lng: 10, lat: 30, zoom: leastZoom(size) };
  return panBy(world, size, listWidth(size) / 2, 0);
}

/** `#-122.42,37.77,9` and, with a pin to open, `#-122.42,37.77,9/<submission>`. */
export function formatHash(view: View): string {
  const digits = clamp(Math.ceil(view.zoom / 3) + 1, 2, 5);
  return `#${view.lng.toFixed(digits)},${view.lat.toFixed(digits)},${view.zoom.toFixed(2)}`;
}

export function parseHash(hash: string): { view: View; pin: string | null } | null {
  const found =
    /^#(-?\d{1,3}(?:\.\d+)?),(-?\d{1,2}(?:\.\d+)?),(\d{1,2}(?:\.\d+)?)(?:\/([\w-]{1,64}))?$/.exec(
      hash,
    );
  if (found === null) return null;
  const view = { lng: Number(found[1]), lat: Number(found[2]), zoom: Number(found[3]) };
  if (Math.abs(view.lng) > 180 || Math.abs(view.lat) > 90 || view.zoom > MAX_ZOOM) return null;
  return { view, pin: found[4] ?? null };
}
