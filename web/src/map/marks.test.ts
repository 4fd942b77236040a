// Keys between marks, where marks come from, answers that are kept, names beside the marks.
import { describe, expect, it } from "vitest";
import type { Bbox, Cell, Pin, Pins } from "../api/types";
import { Answers } from "./answers";
import { placeLabels, type Rect } from "./labels";
import { readTowns } from "./towns";
import { nearestSpot, nextSpot } from "./useRoving";
import { splitFrom } from "./useSplits";
import { toScreen, type View } from "./viewport";
import type { World } from "./world";

describe("the arrow keys", () => {
  const spots = [
    { id: "middle", x: 100, y: 100 },
    { id: "right", x: 150, y: 110 },
    { id: "far right", x: 300, y: 100 },
    { id: "below", x: 90, y: 180 },
  ];
  const [middle] = spots;
  const from = (key: string): string | null =>
    middle === undefined ? null : (nextSpot(spots, middle, key)?.id ?? null);

  it("lead to the nearest mark in their direction, or nowhere", () => {
    expect(from("ArrowRight")).toBe("right");
    expect(from("ArrowDown")).toBe("below");
    expect(from("ArrowUp")).toBeNull();
    expect(from("Enter")).toBeNull();
  });

  it("begin with the mark nearest to the middle", () => {
    expect(nearestSpot(spots, { x: 280, y: 90 })?.id).toBe("far right");
    expect(nearestSpot([], { x: 0, y: 0 })).toBeNull();
  });
});

function cell(id: string, lng: number, lat: number, count: number, bbox: Bbox): Cell {
  return {
    type: "Feature",
    id,
    geometry: { type: "Point", coordinates: [lng, lat] },
    properties: { count, bbox },
  };
}

function pin(submission: string, lng: number, lat: number): Pin {
  return {
    type: "Feature",
    id: submission,
    geometry: { type: "Point", coordinates: [lng, lat] },
    properties: {
      count: 1,
      name: "n",
      handle: null,
      place: "p",
      submission,
      at: "2026-11-20T12:00:00Z",
    },
  };
}

describe("a count that splits", () => {
  const whole = cell("1/0/0", 10, 50, 9, [0, 40, 20, 60]);

  it("sends its parts from where it stood", () => {
    const froms = splitFrom([whole], [cell("2/0/0", 5, 45, 4, [0, 40, 10, 50]), pin("me", 15, 55)]);
    expect([...froms]).toEqual([
      ["2/0/0", [10, 50]],
      ["me", [10, 50]],
    ]);
  });

  it("has nothing to do with marks outside, with those that were there, and with a merger", () => {
    expect(splitFrom([whole], [pin("away", 30, 55)]).size).toBe(0);
    expect(splitFrom([whole, pin("me", 15, 55)], [pin("me", 15, 55)]).size).toBe(0);
    expect(splitFrom([cell("2/0/0", 10, 50, 4, [5, 45, 15, 55])], [whole]).size).toBe(0);
  });

  it("splits across the antimeridian too", () => {
    const fiji = cell("1/1/1", 179.9, -15, 5, [175, -20, -170, -10]);
    expect(splitFrom([fiji], [pin("samoa", -171.8, -14)]).size).toBe(1);
  });
});

describe("kept answers", () => {
  const answer: Pins = { type: "FeatureCollection", features: [], total: 0, revision: 1 };
  const keep = (answers: Answers, zoom: number, bbox: Bbox, round = 0): void =>
    answers.keep({ zoom, bbox, round, answer });

  it("are found where they hold all of the window, on their zoom only", () => {
    const answers = new Answers();
    keep(answers, 4, [0, 0, 40, 40]);
    expect(answers.find(4, [10, 10, 20, 20])?.bbox).toEqual([0, 0, 40, 40]);
    expect(answers.find(5, [10, 10, 20, 20])).toBeNull();
    expect(answers.find(4, [30, 10, 50, 20])).toBeNull();
  });

  it("give way to newer ones, are not without end, and can be forgotten", () => {
    const answers = new Answers();
    keep(answers, 4, [0, 0, 40, 40], 0);
    keep(answers, 4, [0, 0, 40, 40], 1);
    expect(answers.find(4, [10, 10, 20, 20])?.round).toBe(1);
    for (let n = 0; n < 40; n += 1) keep(answers, 6, [n, 0, n + 0.5, 1]);
    expect(answers.find(4, [10, 10, 20, 20])).toBeNull();
    expect(answers.find(6, [39, 0, 39.5, 1])).not.toBeNull();
    answers.clear();
    expect(answers.find(6, [39, 0, 39.5, 1])).toBeNull();
  });
});

describe("names", () => {
  const size = { width: 800, height: 600 };
  const view: View = { lng: 13.4, lat: 52.52, zoom: 6 };
  const nowhere: World = { countries: [], graticule: "" };
  const berlin = toScreen(view, size, 13.4, 52.52);
  const named = (marks: Rect[]) =>
    placeLabels(nowhere, [], view, size, marks).find(({ text }) => text === "Berlin");

  it("stand by their dot, and beside a count that covers it", () => {
    expect(named([])).toMatchObject({ side: "right", dot: true });
    const [x, y] = berlin;
    const over: Rect = [x - 25, y - 25, x + 25, y + 25];
    expect(named([over])).toMatchObject({ side: "right", dot: false, x: x + 26 });
    const right: Rect = [x + 25, y - 25, x + 100, y + 25];
    expect(named([over, right])).toMatchObject({ side: "left", dot: false });
    const left: Rect = [x - 100, y - 25, x - 25, y + 25];
    expect(named([over, right, left])).toMatchObject({ side: "middle", dot: false });
    expect(named([over, [x - 100, y - 90, x + 100, y + 90]])).toBeUndefined();
  });

  it("of towns come when one looks closer, and leave room to larger ones", () => {
    const towns = readTowns({
      names: "Potsdam\nDorf",
      lng: [1306, 1345],
      lat: [5240, 5251],
      from: [68, 110],
    });
    const at = (zoom: number): string[] =>
      placeLabels(nowhere, towns, { ...view, zoom }, size).map(({ text }) => text);
    expect(at(6)).not.toContain("Potsdam");
    expect(at(8)).toContain("Potsdam");
    expect(at(8)).not.toContain("Dorf");
    expect(at(11)).toContain("Dorf");
  });
});
