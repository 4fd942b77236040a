// Which view is shown: the first one until somebody chooses another, by a link or by hand.
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { realHashChanges } from "./realHashChanges";
import { type Movable, useView } from "./useView";
import { clampView, leastZoom, type Size, startView } from "./viewport";

const DESK: Size = { width: 1440, height: 840 };
const LARGE: Size = { width: 1920, height: 1020 };
let root: HTMLElement;
let movable: Movable;
let undo: () => void;

function Probe({ size }: { size: Size }): null {
  movable = useView(size);
  return null;
}

/** Does something, and waits until the view has come to rest. */
async function move(to: () => void): Promise<void> {
  await act(async () => {
    to();
    await vi.advanceTimersByTimeAsync(100);
  });
  await vi.advanceTimersByTimeAsync(1_000);
}

const show = (size: Size): Promise<void> => move(() => render(<Probe size={size} />, root));

beforeEach(() => {
  undo = realHashChanges();
  vi.useFakeTimers();
  history.replaceState(null, "", "/events/birthday-3");
  root = document.createElement("div");
});

afterEach(() => {
  render(null, root);
  vi.useRealTimers();
  undo();
});

it("is the first one in a window of any size, and the address says nothing of it", async () => {
  await show({ width: 0, height: 0 });
  await show(DESK);
  expect([movable.view, movable.current()]).toEqual([startView(DESK), startView(DESK)]);
  await show(LARGE);
  expect(movable.view).toEqual(startView(LARGE));
  expect(location.hash).toBe("");
});

it("is what a link says, as far as one world covers the window", async () => {
  history.replaceState(null, "", "#46.00,30.00,1.50");
  await show(DESK);
  const linked = clampView({ lng: 46, lat: 30, zoom: 1.5 }, DESK);
  expect([movable.view, movable.current()]).toEqual([linked, linked]);
  expect(256 * 2 ** linked.zoom).toBeCloseTo(DESK.width, 6);
  expect(location.hash).toBe("#46.00,30.00,2.49");
});

it("is what the address comes to say", async () => {
  await show(DESK);
  history.replaceState(null, "", "#2.00,48.00,0.50");
  await move(() => globalThis.dispatchEvent(new Event("hashchange")));
  expect(movable.view).toEqual(clampView({ lng: 2, lat: 48, zoom: 0.5 }, DESK));
});

it("is what the address comes to say, however the window changes meanwhile", async () => {
  const small: Size = { width: 1280, height: 740 };
  await show(small);
  history.replaceState(null, "", "#46.00,30.00,1.00");
  await move(() => {
    globalThis.dispatchEvent(new Event("hashchange"));
    render(<Probe size={DESK} />, root);
  });
  expect(movable.view).toEqual(clampView({ lng: 46, lat: 30, zoom: 1 }, DESK));
  expect(location.hash).toBe("#46.00,30.00,2.49");
});

it("rests where a flight leads, so that steps on the way add up", async () => {
  history.replaceState(null, "", "#46.00,30.00,3.00");
  await show(DESK);
  const step = (): void => movable.fly({ ...movable.resting(), zoom: movable.resting().zoom + 1 });
  step();
  await act(async () => {
    await vi.advanceTimersByTimeAsync(100);
  });
  expect(movable.current().zoom).toBeGreaterThan(3);
  expect(movable.current().zoom).toBeLessThan(4);
  expect(movable.resting().zoom).toBe(4);
  await move(step);
  expect([movable.current().zoom, movable.resting().zoom]).toEqual([5, 5]);
});

it("goes as far out as the list leaves room, where no link leads", async () => {
  history.replaceState(null, "", "#46.00,30.00,3.00");
  await show(DESK);
  await move(() => movable.jump({ ...movable.current(), zoom: 0 }));
  expect(movable.view.zoom).toBe(leastZoom(DESK));
  expect(location.hash).toBe("");
});
