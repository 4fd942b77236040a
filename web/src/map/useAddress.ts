// The view in the address's hash: written when the view rests, read when somebody edits it or goes back.
import { useEffect, useState } from "preact/hooks";
import { parseHash, type View } from "./viewport";

const WRITE_AFTER_MS = 350;

/** `hash` is what the address is to say; null leaves it as it is. */
export function useAddress(hash: string | null, follow: (view: View) => void): void {
  const [own] = useState(() => location.pathname);
  useEffect(() => {
    if (hash === null) return;
    const write = setTimeout(() => {
      // The address may be another view's already, and this map about to go.
      if (hash !== location.hash && location.pathname === own)
        history.replaceState(history.state, "", hash === "" ? own + location.search : hash);
    }, WRITE_AFTER_MS);
    return () => clearTimeout(write);
  }, [hash, own]);

  useEffect(() => {
    const read = (): void => {
      const wanted = parseHash(location.hash);
      if (wanted !== null) follow(wanted.view);
    };
    globalThis.addEventListener("hashchange", read);
    return () => globalThis.removeEventListener("hashchange", read);
  }, [follow]);
}
