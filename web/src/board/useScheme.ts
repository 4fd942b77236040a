// Light or dark, for what is drawn by hand and so does not follow the style sheet by itself.
import { useEffect, useState } from "preact/hooks";

const DARK = "(prefers-color-scheme: dark)";

export function useScheme(): "light" | "dark" {
  const [dark, setDark] = useState(() => globalThis.matchMedia(DARK).matches);
  useEffect(() => {
    const query = globalThis.matchMedia(DARK);
    const read = (): void => setDark(query.matches);
    query.addEventListener("change", read);
    return () => query.removeEventListener("change", read);
  }, []);
  return dark ? "dark" : "light";
}
