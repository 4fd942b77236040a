// Asking again and again: pauses, failures, tabs that nobody looks at, answers that come too late.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { OfflineError, ProblemError, problemFrom } from "../api/problem";
import { isLasting, Poller, pauseAfter } from "./poller";

const problem = (status: number, retryAfterS: number | null = null): ProblemError =>
  new ProblemError(problemFrom(status, null), retryAfterS);

let hidden = false;
let stop: (() => void) | null = null;

beforeEach(() => {
  vi.useFakeTimers();
  hidden = false;
  vi.spyOn(document, "hidden", "get").mockImplementation(() => hidden);
});

afterEach(() => {
  stop?.();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** A poller whose answers are given one by one. */
function start(everyMs: number | null = 5_000) {
  const asked: { resolve: (n: number) => void; reject: (e: Error) => void; signal: AbortSignal }[] =
    [];
  const values: number[] = [];
  const errors: Error[] = [];
  const poller = new Poller<number>({
    load: (signal) =>
      new Promise((resolve, reject) => {
        asked.push({ resolve, reject, signal });
      }),
    everyMs: () => everyMs,
    onValue: (value) => values.push(value),
    onError: (error) => errors.push(error),
  });
  stop = () => poller.stop();
  const answer = async (value: number | Error): Promise<void> => {
    const last = asked.at(-1);
    if (value instanceof Error) last?.reject(value);
    else last?.resolve(value);
    await vi.advanceTimersByTimeAsync(0);
  };
  const look = (): boolean => document.dispatchEvent(new Event("visibilitychange"));
  return { poller, asked, values, errors, answer, look };
}

describe("a pause", () => {
  it("grows with failures in a row, up to a minute, and honours what the server asks", () => {
    const offline = new OfflineError(null);
    expect(pauseAfter(5_000, 0, null)).toBe(5_000);
    expect([1, 2, 3, 4, 9].map((n) => pauseAfter(5_000, n, offline))).toEqual([
      10_000, 20_000, 40_000, 60_000, 60_000,
    ]);
    expect(pauseAfter(5_000, 1, problem(429, 33))).toBe(33_000);
    expect(pauseAfter(90_000, 1, offline)).toBe(90_000);
  });

  it("has no end where asking again cannot help", () => {
    expect([401, 403, 404].map((status) => isLasting(problem(status)))).toEqual([true, true, true]);
    expect([409, 429, 500, 503].some((status) => isLasting(problem(status)))).toBe(false);
    expect(isLasting(new OfflineError(null))).toBe(false);
  });
});

describe("a poller", () => {
  it("asks at once and after each answer, never twice at a time", async () => {
    const { asked, values, answer } = start();
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toHaveLength(1);
    await answer(1);
    await vi.advanceTimersByTimeAsync(4_999);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toHaveLength(2);
    expect(values).toEqual([1]);
  });

  it("rests while nobody looks, and asks as soon as somebody does", async () => {
    const { asked, answer, look } = start();
    await answer(1);
    hidden = true;
    look();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(asked).toHaveLength(1);
    hidden = false;
    look();
    expect(asked).toHaveLength(2);
  });

  it("goes on after a failure, and gives up where it lasts", async () => {
    const { asked, errors, answer } = start();
    await answer(new OfflineError(null));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toHaveLength(2);
    await answer(problem(404));
    await vi.advanceTimersByTimeAsync(600_000);
    expect(asked).toHaveLength(2);
    expect(errors).toHaveLength(2);
  });

  it("drops an answer that something overtook", async () => {
    const { poller, asked, values } = start();
    poller.overtaken();
    expect(asked[0]?.signal.aborted).toBe(true);
    asked[0]?.resolve(1);
    await vi.advanceTimersByTimeAsync(4_999);
    expect(values).toEqual([]);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toHaveLength(2);
  });

  it("asks again when told to, and nothing after its end", async () => {
    const { poller, asked, values, answer, look } = start(null);
    await answer(1);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(asked).toHaveLength(1);
    poller.again();
    expect(asked).toHaveLength(2);
    poller.stop();
    await answer(2);
    look();
    expect([asked.length, values.length]).toEqual([2, 1]);
  });
});
