// The moving view: clamped to the window, drawn at most once a frame, kept in the address.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useAddress } from "./useAddress";
import { useFlight } from "./useFlight";
import {
  clampView,
  formatHash,
  leastZoom,
  minZoom,
  parseHash,
  type Size,
  startView,
  type View,
} from "./viewport";

export interface Movable {
  view: View;
  /** The newest view, also between two frames. */
  current: () => View;
  /** The one that it rests at: where a flight leads, if one is under way. */
  resting: () => View;
  jump: (view: View) => void;
  fly: (view: View) => void;
}

/** A view that somebody chose: by a link, or by moving the map. */
interface Chosen {
  view: View;
  by: "link" | "hand";
}

function linked(): Chosen | null {
  const parsed = parseHash(location.hash);
  return parsed === null ? null : { view: parsed.view, by: "link" };
}

/** What a window of this size shows of it. */
function shownOf(chosen: Chosen | null, size: Size): View {
  if (chosen === null) return startView(size);
  return clampView(chosen.view, size, chosen.by === "link" ? minZoom(size) : leastZoom(size));
}

/** What the address says: nothing of what no link leads to. Null leaves it as it is. */
function hashOf(chosen: Chosen | null, view: View, size: Size): string | null {
  if (chosen === null || size.width === 0) return null;
  return view.zoom < minZoom(size) ? "" : formatHash(view);
}

export function useView(size: Size): Movable {
  const [chosen, setChosen] = useState(linked);
  const latest = useRef(chosen);
  const frame = useRef(0);
  const window = useRef(size);
  window.current = size;

  const current = useCallback(() => shownOf(latest.current, window.current), []);
  const allowed = useCallback(
    (wanted: View) => clampView(wanted, window.current, leastZoom(window.current)),
    [],
  );
  const choose = useCallback((next: Chosen): void => {
    latest.current = next;
    if (frame.current !== 0) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      setChosen(latest.current);
    });
  }, []);
  const show = useCallback(
    (next: View): void => choose({ view: allowed(next), by: "hand" }),
    [choose, allowed],
  );
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  const { jump, fly, heading, stop } = useFlight(show, current, allowed);
  const resting = useCallback(() => heading() ?? current(), [heading, current]);

  // The first picture is right already, before any effect has run.
  const view = useMemo(() => shownOf(chosen, size), [chosen, size]);
  const follow = useCallback(
    (wanted: View): void => {
      stop();
      choose({ view: wanted, by: "link" });
    },
    [stop, choose],
  );
  useAddress(hashOf(chosen, view, size), follow);
  return { view, current, resting, jump, fly };
}
