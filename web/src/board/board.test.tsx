// The board's own logic: time order of a replay, ranking and words, what is shown of a rush, the plane.
import { render } from "preact";
import { afterEach, describe, expect, it } from "vitest";
import type { Pin, Replay, Stats } from "../api/types";
import { viewSnapshot } from "../snapshots/read";
import { Figures } from "./Figures";
import { dotBoost, dotRadius } from "./painter";
import { placeOn, planeOf } from "./plane";
import { momentFormat, Playback } from "./replay";
import { Side } from "./Side";
import { pathOf, TakePart } from "./TakePart";
import { dotsOf, MOST_RECENT, newestFirst } from "./useBoard";
import { countryName, ranking, waitingWords } from "./words";

const STATS = viewSnapshot("the_numbers_of_an_event") as Stats;

function replayOf(pins: Replay["pins"], steps = 10): Replay {
  return {
    event: "birthday-3",
    from: "2026-03-20T12:00:00Z",
    to: "2026-03-20T13:40:00Z",
    steps,
    total: pins.reduce((sum, [, , count]) => sum + count, 0),
    places: [
      [13.4, 52.5],
      [2.35, 48.86],
    ],
    pins,
  };
}

describe("a replay", () => {
  const replay = replayOf([
    [0, 0, 2],
    [4, 1, 5],
    [4, 0, 1],
    [9, 1, 3],
  ]);

  it("drops pins in the order of time and ends with all of them", () => {
    const playback = new Playback(replay);
    const seen: number[] = [];
    for (let share = 0; share <= 1; share += 0.01)
      playback.seek(share, (place) => seen.push(place));
    playback.seek(1, (place) => seen.push(place));
    expect(seen).toEqual([0, 1, 0, 1]);
    expect([...playback.counts]).toEqual([3, 8]);
    expect(playback.dropped).toBe(replay.total);
  });

  it("spreads a step over its time", () => {
    const playback = new Playback(replay);
    playback.seek(0.43, () => undefined);
    expect(playback.dropped).toBe(7);
    playback.seek(0.48, () => undefined);
    expect(playback.dropped).toBe(8);
  });

  it("goes back by beginning anew, and says so", () => {
    const playback = new Playback(replay);
    expect(playback.seek(1, () => undefined)).toBe(true);
    const seen: number[] = [];
    expect(playback.seek(0.3, (place) => seen.push(place))).toBe(false);
    expect(seen).toEqual([]);
    expect([...playback.counts]).toEqual([2, 0]);
    expect(playback.seek(0.3, () => undefined)).toBe(true);
  });

  it("tells the time of the event, with the day where it has several", () => {
    const playback = new Playback(replay);
    expect(playback.momentAt(0.5)?.toISOString()).toBe("2026-03-20T12:50:00.000Z");
    expect(new Playback({ ...replay, from: null, to: null }).momentAt(0.5)).toBeNull();
    const parts = (of: Replay): string[] =>
      momentFormat(of)
        .formatToParts(new Date(0))
        .map(({ type }) => type);
    expect(parts(replay)).not.toContain("day");
    expect(parts({ ...replay, to: "2026-03-22T12:00:00Z" })).toContain("day");
    expect(parts({ ...replay, to: "2026-03-20T12:20:00Z" })).toContain("second");
  });

  it("carries two hundred thousand pins in five thousand places within a moment", () => {
    const places = Array.from({ length: 5_000 }, (_, n): [number, number] => [n % 180, n % 80]);
    const pins = Array.from({ length: 200_000 }, (_, n): Replay["pins"][number] => [
      Math.floor((n * 240) / 200_000),
      (n * 7919) % 5_000,
      1,
    ]);
    const start = performance.now();
    const playback = new Playback({ ...replayOf([], 240), places, pins, total: pins.length });
    let drops = 0;
    for (let frame = 0; frame <= 3_600; frame += 1)
      playback.seek(frame / 3_600, () => (drops += 1));
    expect(drops).toBe(200_000);
    expect(playback.dropped).toBe(200_000);
    // A quarter of the minute that the pictures have together, on however busy a machine.
    expect(performance.now() - start).toBeLessThan(15_000);
  });
});

describe("countries", () => {
  it("are named, ranked, and the rest is counted", () => {
    const countries = ["DE", "FR", "XK", "ZZ", "??"].map((country, n) => ({
      country,
      pins: 8 - n,
    }));
    const [ranks, more] = ranking(countries, 3);
    expect(ranks.map(({ name }) => name)).toEqual(["Germany", "France", "Kosovo"]);
    expect(ranks.map(({ share }) => share)).toEqual([1, 7 / 8, 6 / 8]);
    expect(more).toBe(2);
    expect(countryName("??")).toBe("??");
    expect(ranking([], 3)).toEqual([[], 0]);
  });
});

describe("the queue", () => {
  const of = (queued: number, grading: number, oldest: number | null) =>
    waitingWords({
      ...STATS,
      totals: { ...STATS.totals, queued, grading },
      queue: { ...STATS.queue, oldest_s: oldest },
    });

  it("is told in words", () => {
    expect(of(12, 3, 95)).toEqual({
      now: "12 waiting, 3 grading",
      since: "the first one for 2 min",
    });
    expect(of(12, 0, 42)).toEqual({ now: "12 waiting", since: "the first one for 42 s" });
    expect(of(0, 2, 95)).toEqual({ now: "2 grading", since: null });
    expect(of(0, 0, null)).toEqual({ now: "Nothing is waiting", since: null });
    expect(of(1, 0, 5).since).toBeNull();
  });
});

function pin(submission: string, at: string): Pin {
  return {
    type: "Feature",
    id: submission,
    geometry: { type: "Point", coordinates: [1, 2] },
    properties: { count: 1, name: submission, handle: null, place: "Here", submission, at },
  };
}
const minute = (n: number): string => new Date(Date.UTC(2026, 2, 20, 12, n)).toISOString();

describe("the latest", () => {
  it("are each shown once, the newest first, and no more than fit", () => {
    const known = { answer: [pin("a", minute(2)), pin("b", minute(1))], before: new Set<string>() };
    const list = newestFirst([pin("c", minute(3)), pin("a", minute(2))], known);
    expect(list?.map(({ id }) => id)).toEqual(["c", "a", "b"]);
    const many = Array.from({ length: 50 }, (_, n) => pin(`p${n}`, minute(n)));
    expect(newestFirst(many.reverse(), known)).toHaveLength(MOST_RECENT);
    expect(newestFirst([], null)).toBeNull();
  });

  it("leave the board when they left the map", () => {
    const fresh = [pin("hidden", minute(3))];
    const known = { answer: [pin("a", minute(2))], before: new Set(["hidden"]) };
    expect(newestFirst(fresh, known)?.map(({ id }) => id)).toEqual(["a"]);
    expect(
      dotsOf({ answer: { features: known.answer }, before: known.before }, fresh),
    ).toHaveLength(1);
  });

  it("are dots of their own until the server has counted them", () => {
    const dots = dotsOf({ answer: { features: [] }, before: new Set(["old"]) }, [
      pin("old", minute(1)),
      pin("new", minute(2)),
    ]);
    expect(dots).toEqual([{ lng: 1, lat: 2, count: 1 }]);
  });
});

describe("the plane", () => {
  it("shows the inhabited world whole, whatever the screen", () => {
    for (const size of [
      { width: 1400, height: 900 },
      { width: 3840, height: 1900 },
      { width: 390, height: 244 },
      { width: 2000, height: 400 },
    ]) {
      const plane = planeOf(size);
      for (const [lng, lat] of [
        [-168, 66],
        [-171.8, -14],
        [178.4, -18],
        [-70, -53],
        [25, 71],
      ] as const) {
        const [x, y] = placeOn(plane, lng, lat);
        expect(x).toBeGreaterThanOrEqual(0);
        expect(x).toBeLessThanOrEqual(size.width);
        expect(y).toBeGreaterThanOrEqual(0);
        expect(y).toBeLessThanOrEqual(size.height);
      }
    }
  });

  it("has Samoa east of Fiji, and Alaska in the west", () => {
    const plane = planeOf({ width: 1400, height: 900 });
    const x = (lng: number): number => placeOn(plane, lng, 0)[0];
    expect(x(-171.8)).toBeGreaterThan(x(178.4));
    expect(x(-165)).toBeLessThan(x(-122));
  });

  it("draws larger counts larger, and a million still small", () => {
    expect(dotRadius(10, 1)).toBeGreaterThan(dotRadius(1, 1));
    expect(dotRadius(1e6, 1)).toBeLessThan(15);
    expect([0, 30, 1_500, 5_000].map(dotBoost)).toEqual([2.4, 2.4, 1, 1]);
    expect(dotBoost(200)).toBeGreaterThan(1);
    expect(dotBoost(200)).toBeLessThan(2.4);
  });
});

const drawn: Element[] = [];
afterEach(() => {
  for (const root of drawn.splice(0)) render(null, root);
});

function draw(view: Parameters<typeof render>[0]): HTMLElement {
  const root = document.createElement("div");
  drawn.push(root);
  render(view, root);
  return root;
}

describe("what the board shows", () => {
  it("are the api's own numbers", () => {
    const root = draw(<Figures stats={STATS} />);
    const figures = [...root.querySelectorAll("dd")].map((dd) => [
      dd.dataset.total,
      dd.textContent,
    ]);
    expect(figures).toEqual([
      ["passed", "5"],
      ["people", "6"],
      ["places", "3"],
      ["countries", "1"],
    ]);
    expect(root.querySelector('[data-testid="board-total"]')?.textContent).toBe("5");
  });

  it("is text, whatever a name looks like", () => {
    const evil = pin("x", minute(1));
    evil.properties.name = '<img src=x onerror="alert(1)">';
    const root = draw(<Side recent={[evil]} arrived={new Set(["x"])} stats={STATS} />);
    expect(root.querySelector("img")).toBeNull();
    expect(root.querySelector('[data-submission="x"]')?.textContent).toContain("<img src=x");
    expect(root.querySelector('[data-testid="board-countries"]')?.textContent).toContain(
      "United States4",
    );
  });

  it("says so where nobody has passed, and keeps still while it is not known", () => {
    expect(draw(<Side recent={[]} arrived={new Set()} stats={null} />).textContent).toContain(
      "Nobody yet",
    );
    const root = draw(<Side recent={null} arrived={new Set()} stats={null} />);
    expect(root.textContent).not.toContain("Nobody yet");
    expect(root.textContent).not.toMatch(/undefined|NaN|null/);
  });
});

describe("the way to take part", () => {
  it("is a link and a code of the same address", () => {
    const root = draw(<TakePart slug="birthday-3" />);
    expect(root.querySelector("a")?.getAttribute("href")).toBe("/events/birthday-3/submit");
    const path = root.querySelector("svg path")?.getAttribute("d") ?? "";
    // Three corner squares of seven modules, at the least.
    expect(path.match(/h7v1h-7z/g)?.length).toBeGreaterThanOrEqual(6);
  });

  it("draws every dark module, and no other", () => {
    expect(pathOf([[true, true, false, true]])).toBe("M0 0h2v1h-2zM3 0h1v1h-1z");
    expect(pathOf([[false], [true]])).toBe("M0 1h1v1h-1z");
  });
});
