// Moving to another view: at once, or as a short flight that anything newer interrupts.
import { useCallback, useEffect, useRef } from "preact/hooks";
import { between, type View } from "./viewport";

const FLIGHT_MS = 450;

export function motionReduced(): boolean {
  return globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
}

export interface Flight {
  jump: (view: View) => void;
  fly: (view: View) => void;
  /** Where it leads, if one is under way. */
  heading: () => View | null;
  stop: () => void;
}

/** `show` draws a view, `current` is the one that is drawn, `allowed` the nearest that fits the window. */
export function useFlight(
  show: (view: View) => void,
  current: () => View,
  allowed: (view: View) => View,
): Flight {
  const frame = useRef(0);
  const target = useRef<View | null>(null);

  const heading = useCallback(() => target.current, []);
  const stop = useCallback((): void => {
    cancelAnimationFrame(frame.current);
    target.current = null;
  }, []);

  const jump = useCallback(
    (next: View): void => {
      stop();
      show(next);
    },
    [show, stop],
  );

  const fly = useCallback(
    (wanted: View): void => {
      stop();
      if (motionReduced()) {
        show(wanted);
        return;
      }
      const from = current();
      const to = allowed(wanted);
      target.current = to;
      const start = performance.now();
      const tick = (now: number): void => {
        const t = Math.min(1, Math.max(0, (now - start) / FLIGHT_MS));
        show(between(from, to, 1 - (1 - t) ** 3));
        if (t < 1) frame.current = requestAnimationFrame(tick);
        else target.current = null;
      };
      frame.current = requestAnimationFrame(tick);
    },
    [show, current, allowed, stop],
  );

  useEffect(() => stop, [stop]);
  return { jump, fly, heading, stop };
}
