// What a screen without hands does when the server is away: it asks again, keeps what it has, and gives up only where nothing is.
import { render } from "preact";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ProblemError, problemFrom } from "../api/problem";
import { type Kept, useKept } from "./useKept";

let kept: Kept<number>;
let root: HTMLElement;
let answers: (number | Error)[];
let asked: number;

function Probe(): null {
  kept = useKept("key", async () => {
    asked += 1;
    const answer = answers.shift() ?? new Error("nothing left to answer");
    if (answer instanceof Error) throw answer;
    return answer;
  });
  return null;
}

async function start(...with_: (number | Error)[]): Promise<void> {
  answers = with_;
  asked = 0;
  root = document.createElement("div");
  render(<Probe />, root);
  await pass(50);
}

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await vi.advanceTimersByTimeAsync(1);
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  render(null, root);
  vi.useRealTimers();
});

describe("something kept", () => {
  it("is asked for until it is there", async () => {
    await start(new Error("away"), new Error("away"), 7);
    expect(kept).toMatchObject({ value: null, failed: true, missing: false });
    await pass(2_000);
    expect(asked).toBe(2);
    await pass(4_000);
    expect(kept).toMatchObject({ value: 7, failed: false });
    await pass(120_000);
    expect(asked).toBe(3);
  });

  it("stays while a newer answer does not come", async () => {
    await start(7, new Error("away"), 8);
    kept.reload();
    await pass(50);
    expect(kept).toMatchObject({ value: 7, failed: true });
    await pass(2_100);
    expect(kept).toMatchObject({ value: 8, failed: false });
  });

  it("is not asked for again where there is no such thing", async () => {
    await start(new ProblemError(problemFrom(404, null), null));
    expect(kept.missing).toBe(true);
    await pass(120_000);
    expect(asked).toBe(1);
  });
});
