// What the status page says of a submission in each of its states.
import { describe, expect, it } from "vitest";
import type { Attempt, Submission, Transcript } from "../api/types";
import { ago, duration } from "../parts/time";
import { newer } from "./useSubmission";
import {
  distinct,
  limitName,
  ordinal,
  queueSentence,
  saysNoMore,
  sentence,
  timeline,
  verdictSentence,
} from "./words";

const ATTEMPT: Attempt = {
  n: 1,
  worker: "w",
  node: null,
  generation: 1,
  started_at: "2026-11-20T12:00:02Z",
  ended_at: null,
  steps: [
    { step: "resolving", at: "2026-11-20T12:00:02Z", ms: 100 },
    { step: "starting", at: "2026-11-20T12:00:03Z", ms: null },
  ],
  outcome: null,
  reason: null,
  evidence: null,
};

const GRADING: Submission = {
  id: "1",
  event: "birthday-3",
  event_title: "Docker Birthday #3",
  state: "grading",
  step: "starting",
  created_at: "2026-11-20T12:00:00Z",
  updated_at: "2026-11-20T12:00:03Z",
  deadline: null,
  on_map: false,
  hidden: false,
  erased_at: null,
  regraded_at: null,
  queue: null,
  delayed: null,
  participant: { name: "Gordon", handle: null },
  place: { label: "San Francisco", lat: 37.7, lng: -122.4, country: "US" },
  images: [],
  answers: {},
  verdict: null,
  attempts: [ATTEMPT],
  links: { self: "", live: "", page: "" },
  as_of: null,
};

const rows = (submission: Submission): string[] =>
  timeline(submission).map((row) => `${row.step} ${row.state}`);

describe("the timeline", () => {
  it("shows what is done, running, left out and to come", () => {
    expect(rows(GRADING)).toEqual([
      "queued done",
      "resolving done",
      "pulling skipped",
      "starting now",
      "probing todo",
      "judging todo",
      "cleaning todo",
    ]);
    expect(timeline(GRADING)[0]?.ms).toBe(2_000);
  });

  it("knows how long a step took as soon as the next one runs", () => {
    const steps: Attempt["steps"] = [
      { step: "resolving", at: "2026-11-20T12:00:02.000Z", ms: null },
      { step: "starting", at: "2026-11-20T12:00:02.250Z", ms: null },
    ];
    const lengths = timeline({ ...GRADING, attempts: [{ ...ATTEMPT, steps }] }).map(({ ms }) => ms);
    expect(lengths.slice(1, 4)).toEqual([250, null, null]);
  });

  it("waits at the start while queued again after an attempt", () => {
    const states = rows({ ...GRADING, state: "queued", step: null });
    expect(states[0]).toBe("queued now");
    expect(states.slice(1).every((row) => row.endsWith("todo"))).toBe(true);
  });

  it("says what was never reached", () => {
    const verdict = { outcome: "failed", reason: null, at: "", attempt: 1, grading_ms: 1 } as const;
    const states = rows({ ...GRADING, state: "failed", step: null, verdict });
    expect(states).toContain("probing unreached");
    expect(states).toContain("starting done");
    const cleaned: Attempt = {
      ...ATTEMPT,
      steps: [...ATTEMPT.steps, { step: "cleaning", at: "2026-11-20T12:00:05Z", ms: 9 }],
    };
    const ended = rows({ ...GRADING, state: "failed", step: null, verdict, attempts: [cleaned] });
    expect(ended).toContain("judging unreached");
    expect(ended).toContain("cleaning done");
  });
});

describe("sentences", () => {
  it("tell the verdict", () => {
    const verdict = { outcome: "passed", reason: null, at: "", attempt: 1, grading_ms: 1 } as const;
    expect(verdictSentence({ ...GRADING, verdict })).toBe("Gordon has passed.");
    const nowhere = { ...GRADING.place, lat: null, lng: null };
    expect(verdictSentence({ ...GRADING, verdict, place: nowhere })).toMatch(
      /^Gordon has passed\..* no pin\.$/,
    );
  });

  it("begin and end as sentences do, and leave names alone", () => {
    expect(sentence("nothing listened on port 80")).toBe("Nothing listened on port 80.");
    expect(sentence("docker.io answered 429")).toBe("docker.io answered 429.");
    expect(sentence("  ")).toBe("");
  });

  it("tell the place in the queue", () => {
    expect(queueSentence({ position: 1, eta: null })).toBe("You are next.");
    expect(queueSentence({ position: 10_001, at_least: true, eta: null })).toBe(
      "More than 10000 are before you in the queue.",
    );
    expect(queueSentence({ position: 3, eta: { p50_s: 12, p90_s: 40 } })).toBe(
      "You are 3rd in the queue; it usually takes 12 to 40\u00a0s.",
    );
    expect(queueSentence({ position: 22, eta: { p50_s: 50, p90_s: 400 } })).toBe(
      "You are 22nd in the queue; it usually takes 50\u00a0s to 7\u00a0min.",
    );
    expect([1, 2, 3, 4, 11, 21, 112].map(ordinal).join(" ")).toBe(
      "1st 2nd 3rd 4th 11th 21st 112th",
    );
  });

  it("name a limit without its unit", () => {
    expect(limitName("ready_s", "s")).toBe("ready");
    expect(limitName("image_mib", "MiB")).toBe("image");
    expect(limitName("pids", null)).toBe("pids");
  });

  it("tell times", () => {
    const now = new Date("2026-11-20T12:00:00Z");
    expect(ago(new Date("2026-11-20T11:59:57Z"), now)).toBe("just now");
    expect(ago(new Date("2026-11-20T11:55:00Z"), now)).toBe("5 minutes ago");
    expect([0, 640, 2150, 75_000, 120_000].map(duration)).toEqual([
      "< 1 ms",
      "640 ms",
      "2.1 s",
      "1 min 15 s",
      "2 min",
    ]);
  });
});

describe("evidence", () => {
  const exchange: Transcript = {
    request: "GET / HTTP/1.1",
    address: "vote:80",
    status: 200,
    headers: [],
    body: "{}",
    body_bytes: 2,
    truncated: false,
    ms: 3,
    error: null,
  };

  it("shows answers that agree once", () => {
    const other = { ...exchange, body: "[]" };
    expect(distinct([exchange, { ...exchange, ms: 9 }, other])).toEqual([
      { exchange, times: 2 },
      { exchange: other, times: 1 },
    ]);
  });

  it("does not say a comparison twice", () => {
    const failure = { path: "$.vote", expected: '"Cats"', got: '"Dogs"', message: "" };
    expect(saysNoMore(failure)).toBe(true);
    expect(saysNoMore({ ...failure, message: '`$.vote` must be "Cats" but is "Dogs"' })).toBe(true);
    expect(saysNoMore({ ...failure, message: "the path leads nowhere" })).toBe(false);
    expect(saysNoMore({ ...failure, path: "", message: "no body" })).toBe(false);
  });
});

describe("two documents", () => {
  it("resolve to the later one, and never back from a verdict", () => {
    const later = { ...GRADING, updated_at: "2026-11-20T12:00:04Z" };
    expect(newer(GRADING, later)).toBe(later);
    expect(newer(later, GRADING)).toBe(later);
    const done: Submission = { ...GRADING, state: "passed" };
    expect(newer(done, GRADING)).toBe(done);
    expect(newer(null, GRADING)).toBe(GRADING);
  });
});
