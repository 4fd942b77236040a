// The board as a screen on a wall: it fills the display, keeps it awake, and hides the pointer.
import type { RefObject } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";

const STILL_MS = 4_000;

export interface Screen {
  full: boolean;
  /** Null where the browser cannot fill the screen. */
  toggle: (() => void) | null;
  /** Nobody has moved a pointer or pressed a key for a while. */
  still: boolean;
}

export function useScreen(element: RefObject<HTMLElement | null>): Screen {
  const [full, setFull] = useState(() => document.fullscreenElement != null);
  useEffect(() => {
    const read = (): void => setFull(document.fullscreenElement != null);
    document.addEventListener("fullscreenchange", read);
    return () => document.removeEventListener("fullscreenchange", read);
  }, []);
  const toggle = useCallback((): void => {
    const change =
      document.fullscreenElement == null
        ? element.current?.requestFullscreen({ navigationUI: "hide" })
        : document.exitFullscreen();
    // Refused, it stays as it is; the button is still there.
    change?.catch(() => undefined);
  }, [element]);
  useAwake(full);
  const still = useStill();
  return { full, toggle: document.fullscreenEnabled ? toggle : null, still };
}

/** A display that fell asleep would be a black board; the lock is lost whenever the page is hidden. */
function useAwake(wanted: boolean): void {
  useEffect(() => {
    if (!wanted || !("wakeLock" in navigator)) return;
    let lock: WakeLockSentinel | null = null;
    let over = false;
    const take = async (): Promise<void> => {
      if (document.visibilityState !== "visible") return;
      try {
        const taken = await navigator.wakeLock.request("screen");
        if (over) await taken.release();
        else lock = taken;
      } catch {
        // Low battery or a setting: the board runs on without.
      }
    };
    const again = (): void => void take();
    again();
    document.addEventListener("visibilitychange", again);
    return () => {
      over = true;
      document.removeEventListener("visibilitychange", again);
      lock?.release().catch(() => undefined);
    };
  }, [wanted]);
}

function useStill(): boolean {
  const [still, setStill] = useState(false);
  useEffect(() => {
    let later: ReturnType<typeof setTimeout> | undefined;
    const stir = (): void => {
      setStill(false);
      clearTimeout(later);
      later = setTimeout(() => setStill(true), STILL_MS);
    };
    stir();
    const signs = ["pointermove", "pointerdown", "keydown"] as const;
    for (const sign of signs) document.addEventListener(sign, stir);
    return () => {
      clearTimeout(later);
      for (const sign of signs) document.removeEventListener(sign, stir);
    };
  }, []);
  return still;
}
