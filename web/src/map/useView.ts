// The moving view: kept in the address's hash, clamped to the window, flown to new places in a moment.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { between, clampView, formatHash, parseHash, type Size, type View } from "./viewport";

/** The whole world; in a wide window the Pacific lies under the list. */
export function startView(size: Size): View {
  return { lng: size.width > 900 ? 46 : 10, lat: 30, zoom: 0 };
}

const UNSET: View = { lng: 0, lat: 0, zoom: 0 };
const FLIGHT_MS = 450;
const HASH_AFTER_MS = 350;

export interface Movable {
  view: View;
  /** The newest view, also between two frames. */
  current: () => View;
  jump: (view: View) => void;
  fly: (view: View) => void;
}

export function motionReduced(): boolean {
  return globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
}

export function useView(size: Size): Movable {
  const [view, setView] = useState<View>(() => parseHash(location.hash)?.view ?? UNSET);
  const latest = useRef(view);
  const frame = useRef(0);
  const flight = useRef(0);
  const window = useRef(size);
  window.current = size;

  const show = useCallback((next: View): void => {
    latest.current = clampView(next, window.current);
    if (frame.current !== 0) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      setView(latest.current);
    });
  }, []);

  const jump = useCallback(
    (next: View): void => {
      cancelAnimationFrame(flight.current);
      show(next);
    },
    [show],
  );

  const fly = useCallback(
    (target: View): void => {
      cancelAnimationFrame(flight.current);
      if (motionReduced()) {
        show(target);
        return;
      }
      const from = latest.current;
      const to = clampView(target, window.current);
      const start = performance.now();
      const tick = (now: number): void => {
        const t = Math.min(1, Math.max(0, (now - start) / FLIGHT_MS));
        show(between(from, to, 1 - (1 - t) ** 3));
        if (t < 1) flight.current = requestAnimationFrame(tick);
      };
      flight.current = requestAnimationFrame(tick);
    },
    [show],
  );

  // A window of another size allows other views.
  useEffect(() => {
    if (size.width === 0 || size.height === 0) return;
    jump(latest.current === UNSET ? startView(size) : latest.current);
  }, [size, jump]);

  useEffect(() => {
    if (size.width === 0) return;
    const write = setTimeout(() => {
      const hash = formatHash(view);
      if (hash !== location.hash) history.replaceState(history.state, "", hash);
    }, HASH_AFTER_MS);
    return () => clearTimeout(write);
  }, [view, size.width]);

  // Somebody edits the address, or goes back.
  useEffect(() => {
    const read = (): void => {
      const wanted = parseHash(location.hash);
      if (wanted !== null) jump(wanted.view);
    };
    globalThis.addEventListener("hashchange", read);
    return () => globalThis.removeEventListener("hashchange", read);
  }, [jump]);

  useEffect(
    () => () => {
      cancelAnimationFrame(frame.current);
      cancelAnimationFrame(flight.current);
    },
    [],
  );

  // The first picture is right already, before any effect has run.
  const shown = useMemo(
    () => (size.width === 0 ? view : clampView(view === UNSET ? startView(size) : view, size)),
    [view, size],
  );
  return { view: shown, current: () => latest.current, jump, fly };
}
