// From spans of time to the rows of a chart.
import { describe, expect, it } from "vitest";
import type { Bucket } from "../../api/admin";
import { inWords } from "./ChartBox";
import {
  isEmpty,
  labels,
  MOST_REASONS,
  OTHERS,
  reasons,
  SPANS,
  spanOf,
  throughput,
  total,
} from "./series";

const bucket = (at: string, numbers: Partial<Bucket> = {}): Bucket => ({
  at,
  submitted: 0,
  passed: 0,
  failed: 0,
  undetermined: 0,
  cancelled: 0,
  reasons: {},
  ...numbers,
});

describe("a span", () => {
  it("stands in the address; what is none means the first", () => {
    expect(spanOf("?span=2d").stepS).toBe(3_600);
    expect(spanOf("?span=9y")).toBe(SPANS[0]);
    expect(spanOf("")).toBe(SPANS[0]);
  });

  it("stays within what the api answers", () => {
    for (const { stepS, buckets } of SPANS) {
      expect(stepS >= 60 && stepS <= 86_400 && buckets >= 1 && buckets <= 200).toBe(true);
    }
  });
});

describe("throughput", () => {
  it("has a line of what came and bars of what became of it", () => {
    const series = throughput([bucket("a", { submitted: 5, passed: 3, failed: 1, cancelled: 1 })]);
    expect(series.map(({ name, kind }) => `${name} ${kind}`)).toEqual([
      "Submitted line",
      "Passed bar",
      "Failed bar",
      "Undecided bar",
      "Cancelled bar",
    ]);
    expect(series.map(total)).toEqual([5, 3, 1, 0, 1]);
    expect(isEmpty(series)).toBe(false);
    expect(isEmpty(throughput([bucket("a")]))).toBe(true);
  });
});

describe("reasons", () => {
  it("come the most frequent first, with a zero where one did not come", () => {
    const series = reasons([
      bucket("a", { reasons: { exited: 1, not_listening: 2 } }),
      bucket("b", { reasons: { exited: 4, never: 0 } }),
    ]);
    expect(series.map(({ name, values }) => [name, ...values])).toEqual([
      ["exited", 1, 4],
      ["not_listening", 2, 0],
    ]);
  });

  it("are added up beyond what can be told apart, and nothing is lost", () => {
    const many = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`r${n}`, 12 - n]));
    const series = reasons([bucket("a", { reasons: many })]);
    expect(series).toHaveLength(MOST_REASONS + 1);
    expect(series.at(-1)?.name).toBe(OTHERS);
    expect(series.reduce((sum, one) => sum + total(one), 0)).toBe(78);
    expect(new Set(series.map(({ colour }) => colour)).size).toBe(series.length);
    // One more than the palette is shown, not called "all others".
    const seven = Object.fromEntries(Object.entries(many).slice(0, MOST_REASONS + 1));
    expect(reasons([bucket("a", { reasons: seven })]).map(({ name }) => name)).not.toContain(
      OTHERS,
    );
  });
});

describe("words", () => {
  it("name the day where a new one begins", () => {
    const at = (h: number): string => new Date(2026, 2, 20, h).toISOString();
    const names = labels(
      [bucket(at(22)), bucket(at(23)), bucket(at(24)), bucket(at(25))],
      3_600,
      "en-GB",
    );
    expect(names).toEqual(["22:00", "23:00", "Sat 21, 00:00", "01:00"]);
    expect(labels([bucket(at(1))], 28_800, "en-GB")).toEqual(["Fri 20, 01:00"]);
  });

  it("say a chart in a sentence", () => {
    const series = throughput([bucket("a", { submitted: 5, passed: 3 })]);
    expect(inWords("What came", series)).toMatch(/^What came: Submitted 5, Passed 3, /);
    expect(inWords("Why", [])).toMatch(/^Why: nothing\./);
  });
});
