// The mathematics of the map: there and back, round the world, and what the API is asked for.
import { describe, expect, it } from "vitest";
import type { Bbox } from "../api/types";
import { covers } from "./answers";
import { keyedView, pinch } from "./gestures";
import {
  apiZoom,
  bboxOf,
  between,
  clampView,
  fitBbox,
  formatHash,
  fromScreen,
  fromUnit,
  listWidth,
  MAX_LAT,
  minZoom,
  normalLng,
  panBy,
  parseHash,
  shownWidth,
  startView,
  toScreen,
  toUnit,
  type View,
  zoomAround,
} from "./viewport";

const SIZE = { width: 1200, height: 800 };
const BAY: View = { lng: -122.42, lat: 37.77, zoom: 9 };
const FIJI: View = { lng: 179.5, lat: -18, zoom: 6 };
const NONE = { top: 0, right: 0, bottom: 0, left: 0 };

describe("projection", () => {
  it.each([
    [0, 0],
    [-122.42, 37.77],
    [179.99, -84],
    [-180, 85],
  ])("goes there and back: %f, %f", (lng, lat) => {
    const [x, y] = toUnit(lng, lat);
    const [lngBack, latBack] = fromUnit(x, y);
    expect(lngBack).toBeCloseTo(lng, 9);
    expect(latBack).toBeCloseTo(lat, 9);
  });

  it("keeps the poles inside the square", () => {
    expect(toUnit(0, 90)[1]).toBeCloseTo(0, 9);
    expect(toUnit(0, -90)[1]).toBeCloseTo(1, 9);
  });

  it("shows a place on the near side of the antimeridian", () => {
    const [fiji] = toScreen(FIJI, SIZE, 178.4, -18);
    const [samoa] = toScreen(FIJI, SIZE, -171.8, -14);
    expect(fiji).toBeLessThan(SIZE.width / 2);
    expect(samoa).toBeGreaterThan(SIZE.width / 2);
    expect(samoa - fiji).toBeCloseTo((9.8 / 360) * 256 * 2 ** 6, 6);
  });

  it("reads the screen as it writes it", () => {
    const [x, y] = toScreen(FIJI, SIZE, -171.8, -14);
    const [lng, lat] = fromScreen(FIJI, SIZE, x, y);
    expect(lng).toBeCloseTo(-171.8, 9);
    expect(lat).toBeCloseTo(-14, 9);
  });

  it("normalises longitudes to one turn", () => {
    expect([180, 181, -181, 540, -180].map(normalLng)).toEqual([-180, -179, 179, -180, -180]);
  });
});

describe("bounding box", () => {
  it("holds the window and its margin", () => {
    const [w, s, e, n] = bboxOf(BAY, SIZE, 0);
    const [lngLeft, latTop] = fromScreen(BAY, SIZE, 0, 0);
    const [lngRight, latBottom] = fromScreen(BAY, SIZE, SIZE.width, SIZE.height);
    expect(w).toBeCloseTo(lngLeft, 9);
    expect(e).toBeCloseTo(lngRight, 9);
    expect(s).toBeCloseTo(latBottom, 9);
    expect(n).toBeCloseTo(latTop, 9);
    const wide = bboxOf(BAY, SIZE);
    expect(wide[0]).toBeLessThan(w);
    expect(wide[3]).toBeGreaterThan(n);
  });

  it("has west > east across the antimeridian", () => {
    const [w, , e] = bboxOf(FIJI, SIZE, 0);
    expect(w).toBeGreaterThan(0);
    expect(e).toBeLessThan(0);
  });

  it("is the whole world when the window is", () => {
    const view = clampView({ lng: 100, lat: 0, zoom: 0 }, SIZE);
    const [w, s, e, n] = bboxOf(view, SIZE);
    expect([w, e]).toEqual([-180, 180]);
    expect(s).toBeGreaterThanOrEqual(-MAX_LAT);
    expect(n).toBeLessThanOrEqual(MAX_LAT);
  });

  it("asks on whole zooms between 0 and 14", () => {
    expect([-1, 0.4, 2.5, 13.7, 19].map(apiZoom)).toEqual([0, 0, 3, 14, 14]);
  });

  it("knows what a fetched box covers, across the antimeridian too", () => {
    const across: Bbox = [170, -30, -170, 10];
    expect(covers(across, [175, -20, -175, 0])).toBe(true);
    expect(covers(across, [172, -20, 179, 0])).toBe(true);
    expect(covers(across, [160, -20, 175, 0])).toBe(false);
    expect(covers(across, [-175, -20, -160, 0])).toBe(false);
    expect(covers(across, [175, -40, -175, 0])).toBe(false);
    expect(covers([-180, -85, 180, 85], across)).toBe(true);
    expect(covers([0, 0, 10, 10], [-180, 0, 180, 10])).toBe(false);
  });
});

describe("moving", () => {
  it("leaves nothing blank: the world covers the window", () => {
    expect(256 * 2 ** minZoom(SIZE)).toBeCloseTo(1200, 6);
    const top = clampView({ lng: 0, lat: 89, zoom: 3 }, SIZE);
    expect(toScreen(top, SIZE, 0, MAX_LAT)[1]).toBeCloseTo(0, 6);
  });

  it("keeps the point under the pointer when zooming", () => {
    const before = fromScreen(BAY, SIZE, 900, 200);
    const after = fromScreen(zoomAround(BAY, SIZE, 900, 200, 11.3), SIZE, 900, 200);
    expect(after[0]).toBeCloseTo(before[0], 9);
    expect(after[1]).toBeCloseTo(before[1], 9);
  });

  it("pans by pixels and round the world", () => {
    const moved = panBy(FIJI, SIZE, 200, 0);
    expect(moved.lng).toBeLessThan(-170);
    expect(toScreen(moved, SIZE, FIJI.lng, FIJI.lat)[0]).toBeCloseTo(SIZE.width / 2 - 200, 6);
  });

  it("pinches about the midpoint of the fingers", () => {
    const wider = pinch(BAY, SIZE, { x: 500, y: 400 }, { x: 600, y: 400 }, { x: 700, y: 400 });
    expect(wider.zoom).toBeCloseTo(BAY.zoom + 1, 9);
    const before = fromScreen(BAY, SIZE, 550, 400);
    const after = fromScreen(wider, SIZE, 600, 400);
    expect(after[0]).toBeCloseTo(before[0], 9);
  });

  it("obeys the keys that are the map's and no others", () => {
    expect(keyedView("ArrowRight", BAY, SIZE)?.lng).toBeGreaterThan(BAY.lng);
    expect(keyedView("+", BAY, SIZE)?.zoom).toBeCloseTo(10, 9);
    expect(keyedView("Tab", BAY, SIZE)).toBeNull();
  });

  it("fits a box between the insets", () => {
    const insets = { top: 50, right: 400, bottom: 50, left: 50 };
    const view = fitBbox([-123, 37, -121, 38], SIZE, insets);
    const [x0, y0] = toScreen(view, SIZE, -123, 38);
    const [x1, y1] = toScreen(view, SIZE, -121, 37);
    expect(x0).toBeGreaterThanOrEqual(50 - 1e-6);
    expect(x1).toBeLessThanOrEqual(800 + 1e-6);
    expect(y0).toBeGreaterThanOrEqual(50 - 1e-6);
    expect(y1).toBeLessThanOrEqual(750 + 1e-6);
  });

  it("fits a box across the antimeridian, and one of no size", () => {
    const across = fitBbox([176, -20, -172, -12], SIZE, NONE);
    expect(Math.abs(across.lng)).toBeGreaterThan(170);
    expect(across.zoom).toBeGreaterThan(5);
    expect(fitBbox([10, 50, 10, 50], SIZE, NONE, 9)).toMatchObject({ zoom: 9 });
  });

  it("flies the short way and ends where it should", () => {
    const to: View = { lng: -175, lat: -15, zoom: 8 };
    expect(between(FIJI, to, 1)).toEqual(to);
    const half = between(FIJI, to, 0.5);
    expect(Math.abs(half.lng)).toBeGreaterThan(174);
    expect(half.zoom).toBeCloseTo(7, 9);
  });
});

describe("the first view", () => {
  const PLACES: [name: string, lng: number, lat: number][] = [
    ["Tokyo", 139.69, 35.69],
    ["Sydney", 151.21, -33.87],
    ["Auckland", 174.76, -36.85],
    ["Suva", 178.44, -18.14],
    ["Honolulu", -157.86, 21.31],
    ["Anchorage", -149.9, 61.22],
    ["Ushuaia", -68.3, -54.8],
    ["Longyearbyen", 15.63, 78.22],
  ];

  it.each([
    [1440, 840],
    [1920, 1020],
    [2560, 1380],
    [1100, 700],
  ])("has the whole world beside the list: %i by %i", (width, height) => {
    const size = { width, height };
    const view = startView(size);
    const free = width - listWidth(size);
    expect(shownWidth(view, size)).toBeCloseTo(free, 6);
    for (const [name, lng, lat] of PLACES) {
      const [x, y] = toScreen(view, size, lng, lat);
      expect([name, x > 0 && x < free, y > 0 && y < height]).toEqual([name, true, true]);
    }
    expect(toScreen(view, size, 10, 0)[0]).toBeCloseTo(free / 2, 6);
  });

  it("covers a window without a list over it, and one that is high", () => {
    const phone = { width: 390, height: 420 };
    expect(startView(phone)).toEqual(clampView({ lng: 10, lat: 30, zoom: 0 }, phone));
    const high = { width: 1000, height: 1200 };
    expect(256 * 2 ** startView(high).zoom).toBeCloseTo(1200, 6);
  });

  it("can be moved as it is, and come back to", () => {
    const size = { width: 1440, height: 840 };
    const view = startView(size);
    const moved = panBy(view, size, 100, 0);
    expect(moved.zoom).toBeCloseTo(view.zoom, 9);
    const closer = zoomAround(view, size, 500, 400, view.zoom + 0.1);
    expect(closer.zoom).toBeCloseTo(view.zoom + 0.1, 9);
    expect(zoomAround(closer, size, 500, 400, 0).zoom).toBeCloseTo(view.zoom, 9);
    // Every place is shown once, from the left edge on, wherever the map was moved.
    for (let lng = -180; lng < 180; lng += 15) {
      const [x] = toScreen(moved, size, lng, 0);
      expect(x > -1e-6 && x < shownWidth(moved, size) + 1e-6).toBe(true);
    }
  });
});

describe("hash", () => {
  it("keeps the view", () => {
    const read = parseHash(formatHash(BAY));
    expect(read?.view.lng).toBeCloseTo(BAY.lng, 3);
    expect(read?.view.zoom).toBe(9);
    expect(read?.pin).toBeNull();
  });

  it("may name a pin", () => {
    expect(parseHash("#-122.42,37.77,9/0198-ab")).toEqual({ view: BAY, pin: "0198-ab" });
  });

  it.each(["", "#main", "#1,2", "#200,0,3", "#0,95,3", "#0,0,22", "#0,0,3/<img>"])(
    "ignores %s",
    (hash) => {
      expect(parseHash(hash)).toBeNull();
    },
  );
});
