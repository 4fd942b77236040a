// The view is kept in the map's own address, and never written into another view's.
import { render } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { useAddress } from "./useAddress";

let root: HTMLElement;

function Probe({ hash = "#10.000,50.000,4.00" }: { hash?: string | null }): null {
  useAddress(hash, () => undefined);
  return null;
}

beforeEach(() => {
  vi.useFakeTimers();
  history.replaceState(null, "", "/events/birthday-3");
  root = document.createElement("div");
  render(<Probe />, root);
});
afterEach(() => {
  render(null, root);
  vi.useRealTimers();
});

it("is written when the view rests", async () => {
  await vi.advanceTimersByTimeAsync(1_000);
  expect(location.hash).toBe("#10.000,50.000,4.00");
});

it("is not written once the address belongs to another view", async () => {
  await vi.advanceTimersByTimeAsync(100);
  history.pushState(null, "", "/events/birthday-3/board#replay");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(location.hash).toBe("#replay");
});

it("is taken away, or left as it is", async () => {
  history.replaceState(null, "", "/events/birthday-3?x=1#1,2,3");
  render(<Probe hash={null} />, root);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(location.hash).toBe("#1,2,3");
  render(<Probe hash="" />, root);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(location.href).toMatch(/birthday-3\?x=1$/);
});
