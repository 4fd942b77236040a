// The view in the address's hash: written when the view rests, read when somebody edits it or goes back.
import { useEffect, useState } from "preact/hooks";
import { formatHash, parseHash, type View } from "./viewport";

const WRITE_AFTER_MS = 350;

/** `view` is null until the map has a size. */
export function useAddress(view: View | null, jump: (view: View) => void): void {
  const [own] = useState(() => location.pathname);
  useEffect(() => {
    if (view === null) return;
    const write = setTimeout(() => {
      const hash = formatHash(view);
      // The address may be another view's already, and this map about to go.
      if (hash !== location.hash && location.pathname === own)
        history.replaceState(history.state, "", hash);
    }, WRITE_AFTER_MS);
    return () => clearTimeout(write);
  }, [view, own]);

  useEffect(() => {
    const read = (): void => {
      const wanted = parseHash(location.hash);
      if (wanted !== null) jump(wanted.view);
    };
    globalThis.addEventListener("hashchange", read);
    return () => globalThis.removeEventListener("hashchange", read);
  }, [jump]);
}
