// The moving view: clamped to the window, drawn at most once a frame, kept in the address.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useAddress } from "./useAddress";
import { useFlight } from "./useFlight";
import { clampView, parseHash, type Size, type View } from "./viewport";

/** The whole world; in a wide window the Pacific lies under the list. */
export function startView(size: Size): View {
  return { lng: size.width > 900 ? 46 : 10, lat: 30, zoom: 0 };
}

const UNSET: View = { lng: 0, lat: 0, zoom: 0 };

export interface Movable {
  view: View;
  /** The newest view, also between two frames. */
  current: () => View;
  jump: (view: View) => void;
  fly: (view: View) => void;
}

export function useView(size: Size): Movable {
  const [view, setView] = useState<View>(() => parseHash(location.hash)?.view ?? UNSET);
  const latest = useRef(view);
  const frame = useRef(0);
  const window = useRef(size);
  window.current = size;

  const current = useCallback(() => latest.current, []);
  const allowed = useCallback((wanted: View) => clampView(wanted, window.current), []);
  const show = useCallback(
    (next: View): void => {
      latest.current = allowed(next);
      if (frame.current !== 0) return;
      frame.current = requestAnimationFrame(() => {
        frame.current = 0;
        setView(latest.current);
      });
    },
    [allowed],
  );
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  const { jump, fly } = useFlight(show, current, allowed);

  // A window of another size allows other views.
  useEffect(() => {
    if (size.width === 0 || size.height === 0) return;
    jump(latest.current === UNSET ? startView(size) : latest.current);
  }, [size, jump]);

  useAddress(size.width === 0 ? null : view, jump);

  // The first picture is right already, before any effect has run.
  const shown = useMemo(
    () => (size.width === 0 ? view : clampView(view === UNSET ? startView(size) : view, size)),
    [view, size],
  );
  return { view: shown, current, jump, fly };
}
