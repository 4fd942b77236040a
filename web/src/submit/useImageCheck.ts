// What the event makes of an image's name while it is typed. It only ever helps: whatever goes wrong
// with the asking, nothing is said, and sending the form is not held up.
import { useEffect, useState } from "preact/hooks";
import { checkImage } from "../api/client";
import type { ImageCheck } from "../api/types";

const TYPING_MS = 300;
const REMEMBERED = 200;

export type ImageHint =
  | { state: "none" }
  | { state: "waiting" }
  | { state: "good"; canonical: string }
  | { state: "bad"; detail: string };

const known = new Map<string, ImageHint>();

export function hintOf({ canonical, problem }: ImageCheck): ImageHint {
  if (problem !== null) {
    const detail = [problem.detail, problem.hint].filter(Boolean).join(" ");
    return { state: "bad", detail };
  }
  return canonical === null ? { state: "none" } : { state: "good", canonical };
}

export function useImageCheck(slug: string, value: string): ImageHint {
  const name = value.trim();
  const key = `${slug} ${name}`;
  const [hint, setHint] = useState<{ key: string; hint: ImageHint } | null>(null);
  useEffect(() => {
    if (name === "" || known.has(key)) return;
    const abort = new AbortController();
    const tell = (found: ImageHint): void => {
      if (!abort.signal.aborted) setHint({ key, hint: found });
    };
    const wait = setTimeout(() => {
      checkImage(slug, name, abort.signal).then(
        (check) => {
          const found = hintOf(check);
          if (known.size >= REMEMBERED) known.clear();
          known.set(key, found);
          tell(found);
        },
        () => tell({ state: "none" }),
      );
    }, TYPING_MS);
    return () => {
      clearTimeout(wait);
      abort.abort();
    };
  }, [slug, name, key]);
  if (name === "") return { state: "none" };
  return known.get(key) ?? (hint?.key === key ? hint.hint : { state: "waiting" });
}
