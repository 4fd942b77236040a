// The clock of a replay: it runs for a minute, can be stopped, moved and begun again.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { motionReduced } from "../map/useFlight";
import { REPLAY_MS } from "./replay";

/** A hidden page gets no pictures; time does not jump when it is shown again. */
const LONGEST_PICTURE_MS = 250;
/** Where motion is reduced the minute goes by in so many stills. */
const STILLS = 12;
/** The words and the slider follow the picture this often. */
const TELL_MS = 100;

export interface ReplayClock {
  /** How much of the time has gone by, from 0 to 1. */
  share: number;
  running: boolean;
  toggle: () => void;
  again: () => void;
  /** To another share of the time. */
  moveTo: (share: number) => void;
}

/** `show` draws the moment at a share of the time; `tick` draws what moves, whether time runs or not. */
export function useReplay(show: (share: number) => void): ReplayClock {
  const [share, setShare] = useState(0);
  const [running, setRunning] = useState(true);
  const at = useRef(0);
  const draw = useRef(show);
  draw.current = show;

  const moveTo = useCallback((next: number): void => {
    at.current = Math.min(1, Math.max(0, next));
    draw.current(at.current);
    setShare(at.current);
    if (at.current >= 1) setRunning(false);
  }, []);

  useEffect(() => {
    if (!running) return;
    if (motionReduced()) {
      const step = (): void => moveTo((Math.floor(at.current * STILLS + 1e-9) + 1) / STILLS);
      const stills = setInterval(step, REPLAY_MS / STILLS);
      return () => clearInterval(stills);
    }
    let frame = 0;
    let last = performance.now();
    let told = last;
    const tick = (now: number): void => {
      const passed = Math.min(LONGEST_PICTURE_MS, Math.max(0, now - last));
      last = now;
      at.current = Math.min(1, at.current + passed / REPLAY_MS);
      draw.current(at.current);
      if (now - told >= TELL_MS) {
        told = now;
        setShare(at.current);
      }
      if (at.current < 1) frame = requestAnimationFrame(tick);
      else moveTo(1);
    };
    frame = requestAnimationFrame(tick);
    return () => cancelAnimationFrame(frame);
  }, [running, moveTo]);

  const again = useCallback((): void => {
    moveTo(0);
    setRunning(true);
  }, [moveTo]);
  const toggle = useCallback((): void => {
    if (at.current >= 1) again();
    else setRunning((now) => !now);
  }, [again]);
  return { share, running, toggle, again, moveTo };
}
