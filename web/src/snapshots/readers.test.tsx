// What the board, the form and the console read of the api's answers, from the api's own snapshots of them.
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Fleet, History, Suspects } from "../api/admin";
import { type ImageCheck, isPin, type Pin, type Replay } from "../api/types";
import { Playback } from "../board/replay";
import { Side } from "../board/Side";
import { FleetPanel } from "../console/overview/Fleet";
import { labels, reasons, throughput, total } from "../console/overview/series";
import { standingWords } from "../console/suspects/words";
import { hintOf } from "../submit/useImageCheck";
import { viewSnapshot } from "./read";
import { list, newFindings, type Shape, unseen } from "./shape";
import { fleet, history, imageCheck, recent, replay, suspects } from "./shapes";

/** What is wrong with an answer, and what of it was never seen full. */
function faults<T>(value: unknown, shape: Shape<T>): string[] {
  const found = newFindings();
  shape(value, "answer", found);
  return [...found.wrong, ...unseen(found)];
}

let root: HTMLElement;

beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
});

afterEach(async () => {
  await act(() => render(null, root));
  root.remove();
});

const texts = (selector: string): string[] =>
  [...root.querySelectorAll(selector)].map((one) => one.textContent.replace(/\s+/g, " ").trim());

describe("the newest pins", () => {
  const answer = viewSnapshot("the_newest_pins") as { items: Pin[] };

  it("are pins, the newest first", () => {
    expect(faults(answer, recent)).toEqual([]);
    expect(answer.items.every(isPin)).toBe(true);
    const times = answer.items.map(({ properties }) => properties.at);
    expect(times).toEqual(times.toSorted().toReversed());
    expect(times.length).toBeGreaterThan(1);
  });

  it("are rows of the board", async () => {
    await act(() => render(<Side recent={answer.items} arrived={new Set()} stats={null} />, root));
    expect(texts("[data-submission]").map((row) => row.slice(0, 3))).toEqual(["Gra", "Ada"]);
  });
});

describe("a replay", () => {
  const answer = viewSnapshot("a_replay_of_the_map") as Replay;

  it("is what the page takes it for", () => {
    expect(faults(answer, replay)).toEqual([]);
    // The page plays it as it comes: in order, within its steps, at places that there are.
    const steps = answer.pins.map(([step]) => step);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    expect(steps.every((step) => step < answer.steps)).toBe(true);
    expect(answer.pins.every(([, place]) => place < answer.places.length)).toBe(true);
  });

  it("drops every pin by its end, each at its place", () => {
    const played = new Playback(answer);
    played.seek(0.5, () => undefined);
    expect(played.dropped).toBe(2);
    played.seek(1, () => undefined);
    expect(played.dropped).toBe(answer.total);
    expect([...played.counts]).toEqual([1, 2]);
    expect(played.momentAt(1)?.toISOString()).toBe(answer.to);
  });
});

describe("names of images", () => {
  const answers = viewSnapshot("names_of_images") as ImageCheck[];

  it("are what the form takes them for", () => {
    expect(faults(answers, list(imageCheck))).toEqual([]);
  });

  it("are read: good ones written out, bad ones with what to do", () => {
    const hints = new Map(answers.map((answer) => [answer.ref.slice(0, 20), hintOf(answer)]));
    expect(hints.get("nginx")).toEqual({
      state: "good",
      canonical: "docker.io/library/nginx:latest",
    });
    expect(hints.get("evil.test/x")).toEqual({
      state: "bad",
      detail:
        "The event takes no images from evil.test. " +
        "Push it to one of these: docker.io, 127.0.0.1:5000.",
    });
    const bad = [...hints.values()].filter(({ state }) => state === "bad");
    expect(bad).toHaveLength(answers.filter(({ problem }) => problem !== null).length);
  });
});

describe("the fleet", () => {
  const answer = viewSnapshot("admin__the_fleet") as Fleet;

  it("is what the console takes it for, without an address of a machine", () => {
    expect(faults(answer, fleet)).toEqual([]);
    expect(JSON.stringify(answer)).not.toMatch(/https?:|tcp:|\d+\.\d+\.\d+\.\d+/);
  });

  it("is shown: who stops, who takes no work, and why", async () => {
    const polled = { value: answer, error: null, busy: false, refresh() {}, put() {} };
    await act(() => render(<FleetPanel polled={polled} />, root));
    expect(texts(".slots p")).toEqual(["2 of 2 slots busy"]);
    expect(texts("[data-worker]:not([data-node]) .mark")).toEqual(["1 of 2 busy", "stopping"]);
    expect(texts("[data-node] .mark")).toEqual(["takes work", "takes no work"]);
    expect(texts(".machine-why")).toEqual([answer.nodes[1]?.why]);
    expect(texts('[data-node="g1"]')[0]).toContain("fit, serving, 1 of 2 slots busy");
  });
});

describe("images that machines went down under", () => {
  const answer = viewSnapshot("admin__images_that_machines_went_down_under") as Suspects;

  it("are what the console takes them for", () => {
    expect(faults(answer, suspects)).toEqual([]);
    // One that it did not know would stand for itself.
    const unknown = answer.images.filter(({ standing }) => standingWords(standing).means === "");
    expect(unknown).toEqual([]);
    const counted = answer.images.map(({ losses }) => losses.filter(({ counts }) => counts).length);
    expect(counted).toEqual(answer.images.map(({ counted }) => counted));
  });
});

describe("an event along the time", () => {
  const answer = viewSnapshot("admin__an_event_along_the_time") as History;

  it("is what the console takes it for, a step after the other", () => {
    expect(faults(answer, history)).toEqual([]);
    const times = answer.buckets.map(({ at }) => Date.parse(at));
    const gaps = times.slice(1).map((at, n) => at - (times[n] ?? 0));
    expect(new Set(gaps)).toEqual(new Set([answer.step_s * 1_000]));
  });

  it("is drawn: every verdict once, reasons with the most frequent first", () => {
    const { buckets, step_s } = answer;
    const drawn = new Map(throughput(buckets).map((series) => [series.name, total(series)]));
    expect(Object.fromEntries(drawn)).toEqual({
      Submitted: 9,
      Passed: 5,
      Failed: 2,
      Undecided: 1,
      Cancelled: 1,
    });
    expect(reasons(buckets).map((series) => [series.name, series.values])).toEqual([
      ["not_listening", [0, 2]],
      ["rule_failed:config", [0, 1]],
    ]);
    expect(labels(buckets, step_s, "en-GB")).toHaveLength(buckets.length);
  });
});
