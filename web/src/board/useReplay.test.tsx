// The minute of a replay: it runs, stops, moves, begins again; in stills where motion is reduced.
import { render } from "preact";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { REPLAY_MS } from "./replay";
import { type ReplayClock, useReplay } from "./useReplay";

let clock: ReplayClock;
let shown: number[];
let root: HTMLElement;

function Probe(): null {
  clock = useReplay((share) => shown.push(share));
  return null;
}

async function start(reduced: boolean): Promise<void> {
  globalThis.matchMedia = (() => ({ matches: reduced })) as unknown as typeof matchMedia;
  shown = [];
  root = document.createElement("div");
  render(<Probe />, root);
  await pass(0);
}

/** Lets time go by, with what the page does in it. */
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

describe("the clock of a replay", () => {
  it("takes a minute, stops at its end, and begins again", async () => {
    await start(false);
    await pass(REPLAY_MS / 2);
    expect(clock.share).toBeGreaterThan(0.45);
    expect(clock.share).toBeLessThan(0.55);
    await pass(REPLAY_MS / 2 + 2_000);
    expect(clock.share).toBe(1);
    expect(clock.running).toBe(false);
    clock.toggle();
    await pass(1_000);
    expect(clock.running).toBe(true);
    expect(clock.share).toBeLessThan(0.05);
  });

  it("stands still while it is stopped, and goes on from there", async () => {
    await start(false);
    await pass(6_000);
    clock.toggle();
    await pass(20);
    const { length } = shown;
    const { share } = clock;
    await pass(10_000);
    expect(shown).toHaveLength(length);
    clock.toggle();
    await pass(600);
    expect(clock.share).toBeGreaterThan(share);
    expect(clock.share).toBeLessThan(share + 0.05);
  });

  it("moves to where the slider is put", async () => {
    await start(false);
    clock.toggle();
    clock.moveTo(0.4);
    await pass(10);
    expect(clock.share).toBe(0.4);
    expect(shown.at(-1)).toBe(0.4);
    clock.moveTo(3);
    await pass(10);
    expect(clock.share).toBe(1);
  });

  it("steps through a few stills where motion is reduced", async () => {
    await start(true);
    await pass(REPLAY_MS + 100);
    expect(shown).toHaveLength(12);
    expect(shown[0]).toBeCloseTo(1 / 12, 9);
    expect(clock.share).toBe(1);
    expect(clock.running).toBe(false);
  });
});
