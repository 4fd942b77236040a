// One stop of the Tab key for all marks; from there the arrow keys lead from one to the next.
import type { RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

export interface Spot {
  id: string;
  x: number;
  y: number;
}

const WAYS: Record<string, [dx: number, dy: number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The nearest spot in a direction; those far off to the side count as further away. */
export function nextSpot(spots: Spot[], from: Spot, key: string): Spot | null {
  const way = WAYS[key];
  if (way === undefined) return null;
  let best: Spot | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const spot of spots) {
    if (spot.id === from.id) continue;
    const dx = spot.x - from.x;
    const dy = spot.y - from.y;
    const ahead = dx * way[0] + dy * way[1];
    const aside = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
    if (ahead <= 0.5 || aside > ahead * 2.5) continue;
    const cost = ahead + aside * 2;
    if (cost < least) [best, least] = [spot, cost];
  }
  return best;
}

/** The spot nearest to a point. */
export function nearestSpot(spots: Spot[], at: { x: number; y: number }): Spot | null {
  let best: Spot | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const spot of spots) {
    const away = Math.hypot(spot.x - at.x, spot.y - at.y);
    if (away < least) [best, least] = [spot, away];
  }
  return best;
}

export interface Roving {
  /** The mark that the Tab key comes to. */
  stop: string | null;
  onFocusIn: (event: FocusEvent) => void;
  onFocusOut: () => void;
  onKeyDown: (event: KeyboardEvent) => void;
}

function markOf(target: EventTarget | null): string | null {
  return target instanceof Element
    ? (target.closest("[data-mark]")?.getAttribute("data-mark") ?? null)
    : null;
}

/** `spots` are the marks in the window; `middle` is where the first Tab looks for one. */
export function useRoving(
  group: RefObject<SVGSVGElement | null>,
  spots: Spot[],
  middle: { x: number; y: number },
): Roving {
  const [chosen, setChosen] = useState<string | null>(null);
  /** The mark that has the focus, and where it stood last. */
  const held = useRef<Spot | null>(null);

  const focus = (id: string): void => {
    const mark = group.current?.querySelector(`[data-mark="${CSS.escape(id)}"]`);
    if (mark instanceof SVGElement) mark.focus({ preventScroll: true });
  };

  // A mark that had the focus may be gone, joined with others or left behind: the next one takes over.
  useLayoutEffect(() => {
    const last = held.current;
    if (last === null) return;
    const still = spots.find(({ id }) => id === last.id);
    if (still !== undefined) {
      held.current = still;
      return;
    }
    held.current = null;
    if (document.activeElement !== document.body) return;
    const next = nearestSpot(spots, last);
    if (next !== null) focus(next.id);
    else group.current?.closest<HTMLElement>(".stage")?.focus({ preventScroll: true });
  });

  const stop = spots.some(({ id }) => id === chosen)
    ? chosen
    : (nearestSpot(spots, middle)?.id ?? null);
  return {
    stop,
    onFocusIn: (event) => {
      const id = markOf(event.target);
      held.current = spots.find((spot) => spot.id === id) ?? null;
      setChosen(id);
    },
    onFocusOut: () => {
      // A mark that is taken away loses the focus too, but then it is no longer there.
      const last = held.current;
      setTimeout(() => {
        const there =
          last !== null && group.current?.querySelector(`[data-mark="${CSS.escape(last.id)}"]`);
        if (there && held.current === last && document.activeElement !== there) held.current = null;
      });
    },
    onKeyDown: (event) => {
      const from = spots.find(({ id }) => id === markOf(event.target));
      const next = from === undefined ? null : nextSpot(spots, from, event.key);
      if (next === null) return; // the map's own keys, or the edge: the map moves
      event.preventDefault();
      focus(next.id);
    },
  };
}
