// What becomes of a place as it is typed.
import { describe, expect, it } from "vitest";
import type { Place } from "../api/types";
import { coordinatesIn, degrees, namesakes, people, placeNote } from "./places";

const place = (label: string, population = 1): Place => ({
  label,
  lat: 1,
  lng: 2,
  country: "US",
  population,
});
const SPRINGFIELDS = [
  place("Springfield, Missouri, US"),
  place("Springfield, Illinois, US"),
  place("Springfield Lakes, Queensland, AU"),
];

describe("coordinates", () => {
  it("are read in the ways that people write them", () => {
    const paris = { lat: 48.86, lng: 2.35 };
    for (const text of ["48.86, 2.35", " 48.86,2.35 ", "48.86 2.35", "48.86° N, 2.35° E"]) {
      expect(coordinatesIn(text), text).toEqual(paris);
    }
    expect(coordinatesIn("37.77° N, 122.42° W")).toEqual({ lat: 37.77, lng: -122.42 });
    expect(coordinatesIn("-33.9, 18.4")).toEqual({ lat: -33.9, lng: 18.4 });
    expect(coordinatesIn("33.9 S; 18.4 E")).toEqual({ lat: -33.9, lng: 18.4 });
  });

  it.each(["Paris", "91, 0", "0, 181", "48.86", "10 Downing Street", "1, 2, 3", "75001 Paris"])(
    "are not seen in %j",
    (text) => {
      expect(coordinatesIn(text)).toBeNull();
    },
  );

  it("are said with their directions", () => {
    expect(degrees({ lat: -18.14, lng: 178.44 })).toBe("18.1° S, 178.4° E");
    expect(degrees({ lat: 37.77, lng: -122.42 })).toBe("37.8° N, 122.4° W");
  });
});

describe("a typed place", () => {
  it("has namesakes, whatever the accents and the case", () => {
    expect(namesakes("springfield ", SPRINGFIELDS)).toHaveLength(2);
    expect(namesakes("Sao Paulo", [place("São Paulo, BR")])).toHaveLength(1);
    expect(namesakes("Spring", SPRINGFIELDS)).toEqual([]);
  });

  it("is said to be one of several, unknown, or pinned; and nothing before anything is known", () => {
    const typed = (label: string) => ({ label, spot: null });
    expect(placeNote(typed("Springfield"), SPRINGFIELDS)).toMatchObject({ kind: "several" });
    expect(placeNote(typed("Springfield"), SPRINGFIELDS)?.text).toMatch(/^2 places /);
    expect(placeNote(typed("Spring"), SPRINGFIELDS)).toBeNull();
    expect(placeNote(typed("Nowhere"), [])).toMatchObject({ kind: "unknown" });
    expect(placeNote(typed("Nowhere"), null)).toBeNull();
    expect(placeNote(typed("x"), [])).toBeNull();
    const spot = { lat: 48.86, lng: 2.35 };
    expect(placeNote({ label: "48.86, 2.35", spot }, null)).toEqual({
      kind: "pinned",
      text: "Your pin: 48.9° N, 2.4° E",
    });
  });

  it("is told from others by its size", () => {
    expect([0, 7, 1234, 864_816, 1_394_928].map(people)).toEqual([
      "",
      "7 people",
      "1,200 people",
      "860,000 people",
      "1,400,000 people",
    ]);
  });
});
