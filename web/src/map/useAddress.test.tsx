// The view is kept in the map's own address, and never written into another view's.
import { render } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { useAddress } from "./useAddress";

const VIEW = { lng: 10, lat: 50, zoom: 4 };
let root: HTMLElement;

function Probe(): null {
  useAddress(VIEW, () => undefined);
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
