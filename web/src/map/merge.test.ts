// Merging on the screen: nothing is lost, neighbours join, newcomers stand alone.
import { describe, expect, it } from "vitest";
import { type Cell, isPin, type Pin } from "../api/types";
import { mergeOverlaps, union } from "./merge";
import { areaName, nearestCity } from "./naming";
import { spreadApart } from "./spread";
import { findLinked } from "./useLinkedPin";

const NOBODY: ReadonlySet<string> = new Set();

function cell(id: string, lng: number, lat: number, count: number): Cell {
  return {
    type: "Feature",
    id,
    geometry: { type: "Point", coordinates: [lng, lat] },
    properties: { count, bbox: [lng - 0.1, lat - 0.1, lng + 0.1, lat + 0.1] },
  };
}

function pin(submission: string, lng: number, lat: number): Pin {
  return {
    type: "Feature",
    id: submission,
    geometry: { type: "Point", coordinates: [lng, lat] },
    properties: {
      count: 1,
      name: submission,
      handle: null,
      place: "somewhere",
      submission,
      at: "2026-11-20T12:00:00Z",
    },
  };
}

const sum = (features: (Cell | Pin)[]): number =>
  features.reduce((total, feature) => total + feature.properties.count, 0);

describe("merging", () => {
  it("joins counts that would overlap, and splits them when there is room", () => {
    const features = [cell("a", 13.4, 52.5, 61), cell("b", 2.3, 48.8, 25), cell("c", 139, 35, 8)];
    const far = mergeOverlaps(features, 2, NOBODY);
    expect(far.map((feature) => feature.properties.count).sort()).toEqual([8, 86]);
    expect(mergeOverlaps(features, 6, NOBODY)).toHaveLength(3);
  });

  it("never changes the sum, at any zoom", () => {
    const features: (Cell | Pin)[] = [];
    for (let i = 0; i < 300; i += 1) {
      const lng = ((i * 73) % 360) - 180;
      const lat = ((i * 37) % 150) - 75;
      features.push(i % 3 === 0 ? pin(`p${i}`, lng, lat) : cell(`c${i}`, lng, lat, 2 + (i % 50)));
    }
    for (let zoom = 0; zoom <= 14; zoom += 0.25) {
      expect(sum(mergeOverlaps(features, zoom, NOBODY))).toBe(sum(features));
    }
  });

  it("takes in a pin under a count, unless it has just arrived", () => {
    const features = [cell("a", 0, 0, 40), pin("new", 0.2, 0.05)];
    expect(mergeOverlaps(features, 4, NOBODY).filter(isPin)).toHaveLength(0);
    expect(mergeOverlaps(features, 4, new Set(["new"])).filter(isPin)).toHaveLength(1);
  });

  it("joins across the antimeridian, in place and in box", () => {
    const [one] = mergeOverlaps([cell("a", 179.8, 0, 5), cell("b", -179.8, 0, 5)], 3, NOBODY);
    expect(Math.abs(one?.geometry.coordinates[0] ?? 0)).toBeCloseTo(180, 6);
    const bbox = (one as Cell).properties.bbox;
    expect(bbox[0]).toBeCloseTo(179.7, 6);
    expect(bbox[2]).toBeCloseTo(-179.7, 6);
  });

  it("unites boxes", () => {
    expect(union([0, 0, 1, 1], [2, -1, 3, 0.5])).toEqual([0, -1, 3, 1]);
    expect(union([170, 0, -170, 1], [-175, 0, -160, 1])).toEqual([170, 0, -160, 1]);
  });
});

describe("pins of one place", () => {
  it("are spread, the same way whatever their order", () => {
    const here = [pin("a", 1, 1), pin("b", 1, 1), pin("c", 5, 5)];
    const offsets = spreadApart(here);
    expect([...offsets.keys()].sort()).toEqual(["a", "b"]);
    expect(spreadApart([...here].reverse()).get("a")).toEqual(offsets.get("a"));
  });
});

describe("names", () => {
  it("are cities where one is near, coordinates on the sea", () => {
    expect(nearestCity(-122.3, 37.7)).not.toBeNull();
    expect(nearestCity(-150, -40)).toBeNull();
    expect(areaName(cell("x", -150, -40, 3), null).name).toBe("40.0° S, 150.0° W");
  });

  it("promise no more than a wide count can keep", () => {
    const wide = cell("x", 13.4, 52.5, 5);
    wide.properties.bbox = [0, 40, 22, 60];
    expect(areaName(wide, null)).toEqual({ name: "Around Berlin", detail: null });
  });

  it("tell who is at one spot", () => {
    const spot = cell("x", 13.4, 52.5, 5);
    const members = ["Ada", "Gordon", "Grace", "Ken"].map((name) => ({ name, submission: name }));
    spot.properties.members = members;
    expect(areaName(spot, null)).toEqual({
      name: "Berlin",
      detail: "Ada, Gordon, Grace and 2 more",
    });
  });
});

describe("a linked pin", () => {
  const linked = { id: "me", lng: 10, lat: 20 };

  it("is found alone, named at a spot, or inside a count", () => {
    const alone = pin("me", 10, 20);
    expect(findLinked([cell("a", 10, 20, 3), alone], linked)).toEqual({ as: "pin", pin: alone });
    const spot = cell("x", 10, 20, 2);
    spot.properties.members = [{ name: "Me", submission: "me" }];
    expect(findLinked([spot], linked)).toEqual({ as: "member", cell: spot });
    const around = cell("a", 10, 20, 3);
    expect(findLinked([around], linked)).toEqual({ as: "counted", cell: around });
    expect(findLinked([cell("a", 11, 20, 3), pin("you", 10, 20)], linked)).toBeNull();
  });

  it("is looked for across the antimeridian", () => {
    const wide = cell("a", 180, 20, 3);
    wide.properties.bbox = [179, 19, -179, 21];
    expect(findLinked([wide], { id: "me", lng: -179.5, lat: 20 })).toEqual({
      as: "counted",
      cell: wide,
    });
    expect(findLinked([wide], linked)).toBeNull();
  });
});
