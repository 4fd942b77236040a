// Wheel, drag, pinch, double click and keys, turned into views. Nothing here draws.
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";
import type { Movable } from "./useView";
import { panBy, type Size, startView, type View, zoomAround } from "./viewport";

interface Point {
  x: number;
  y: number;
}

/** A press that moved less than this is a click. */
const CLICK_PX = 5;
const KEY_PAN_PX = 90;

/** Attaches all gestures to the map's element. */
export function useGestures(
  ref: RefObject<HTMLElement | null>,
  size: Size,
  movable: Movable,
): void {
  const { width, height } = size;
  const { current, resting, jump, fly } = movable;
  useEffect(() => {
    const element = ref.current;
    if (element === null || width === 0) return;
    const window: Size = { width, height };
    const ends = [
      listenWheel(element, window, current, jump),
      listenPointers(element, window, current, jump),
      listenKeys(element, window, resting, fly),
    ];
    return () => {
      for (const end of ends) end();
    };
  }, [ref, width, height, current, resting, jump, fly]);
}

type Current = () => View;
type Move = (view: View) => void;

function place(element: HTMLElement, event: MouseEvent): Point {
  const box = element.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

function listenWheel(element: HTMLElement, size: Size, current: Current, jump: Move): () => void {
  const onWheel = (event: WheelEvent): void => {
    event.preventDefault();
    const { x, y } = place(element, event);
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 20 : event.deltaY;
    // A pinch on a trackpad arrives as a wheel with the control key, in smaller steps.
    const step = Math.max(-1, Math.min(1, -pixels / (event.ctrlKey ? 80 : 320)));
    jump(zoomAround(current(), size, x, y, current().zoom + step));
  };
  const onDouble = (event: MouseEvent): void => {
    const { x, y } = place(element, event);
    jump(zoomAround(current(), size, x, y, current().zoom + 1));
  };
  element.addEventListener("wheel", onWheel, { passive: false });
  element.addEventListener("dblclick", onDouble);
  return () => {
    element.removeEventListener("wheel", onWheel);
    element.removeEventListener("dblclick", onDouble);
  };
}

function listenPointers(
  element: HTMLElement,
  size: Size,
  current: Current,
  jump: Move,
): () => void {
  const held = new Map<number, Point>();
  let travelled = 0;

  const down = (event: PointerEvent): void => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    if (held.size === 0) travelled = 0;
    held.set(event.pointerId, place(element, event));
  };

  const move = (event: PointerEvent): void => {
    const before = held.get(event.pointerId);
    if (before === undefined) return;
    const now = place(element, event);
    travelled += Math.hypot(now.x - before.x, now.y - before.y);
    if (travelled < CLICK_PX) return;
    // Captured only now: a captured press would never become a click on a pin.
    if (!element.hasPointerCapture(event.pointerId)) element.setPointerCapture(event.pointerId);
    element.classList.add("dragging");
    const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
    held.set(event.pointerId, now);
    jump(
      other === undefined
        ? panBy(current(), size, before.x - now.x, before.y - now.y)
        : pinch(current(), size, other, before, now),
    );
  };

  const up = (event: PointerEvent): void => {
    held.delete(event.pointerId);
    if (held.size === 0) element.classList.remove("dragging");
  };

  // The end of a drag is not a click on what happens to lie there.
  const click = (event: MouseEvent): void => {
    if (travelled < CLICK_PX) return;
    travelled = 0;
    event.stopPropagation();
  };

  element.addEventListener("pointerdown", down);
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
  element.addEventListener("click", click, { capture: true });
  return () => {
    element.removeEventListener("pointerdown", down);
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", up);
    element.removeEventListener("pointercancel", up);
    element.removeEventListener("click", click, { capture: true });
  };
}

/** One of two fingers moved: the distance zooms, the midpoint carries the map along. */
export function pinch(view: View, size: Size, other: Point, before: Point, now: Point): View {
  const ratio =
    Math.max(1, Math.hypot(now.x - other.x, now.y - other.y)) /
    Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
  const from = { x: (before.x + other.x) / 2, y: (before.y + other.y) / 2 };
  const to = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
  const zoomed = zoomAround(view, size, from.x, from.y, view.zoom + Math.log2(ratio));
  return panBy(zoomed, size, from.x - to.x, from.y - to.y);
}

function listenKeys(element: HTMLElement, size: Size, resting: Current, fly: Move): () => void {
  const onKey = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    // The keys of a mark that are not its own are the map's.
    const onMark = event.target instanceof Element && event.target.closest("[data-mark]") !== null;
    if (event.target !== element && !onMark) return;
    if (event.key === "Escape" && onMark) element.focus({ preventScroll: true });
    const next = keyedView(event.key, resting(), size);
    if (next === null) return;
    event.preventDefault();
    fly(next);
  };
  element.addEventListener("keydown", onKey);
  return () => element.removeEventListener("keydown", onKey);
}

/** The view that a key asks for; null for keys that are not the map's. */
export function keyedView(key: string, view: View, size: Size): View | null {
  switch (key) {
    case "ArrowLeft":
      return panBy(view, size, -KEY_PAN_PX, 0);
    case "ArrowRight":
      return panBy(view, size, KEY_PAN_PX, 0);
    case "ArrowUp":
      return panBy(view, size, 0, -KEY_PAN_PX);
    case "ArrowDown":
      return panBy(view, size, 0, KEY_PAN_PX);
    case "+":
    case "=":
      return zoomAround(view, size, size.width / 2, size.height / 2, view.zoom + 1);
    case "-":
    case "_":
      return zoomAround(view, size, size.width / 2, size.height / 2, view.zoom - 1);
    case "0":
    case "Home":
      return startView(size);
    default:
      return null;
  }
}
