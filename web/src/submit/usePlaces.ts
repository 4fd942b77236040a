// The list of suggested places: looked up while somebody types, walked through by keys, opened and closed.
import { useEffect, useState } from "preact/hooks";
import { findPlaces } from "../api/client";
import type { Place } from "../api/types";

const TYPING_MS = 180;
const SHORTEST_QUERY = 2;

export interface Places {
  /** What is offered: while the next answer is on its way, what the last one offered. */
  offered: Place[];
  /** What is known of the very text that stands there; null until that is known. */
  found: Place[] | null;
  /** The suggestion that Enter would pick; -1 for none. */
  active: number;
  shown: boolean;
  open: () => void;
  close: () => void;
  pick: (index: number) => void;
  onKey: (event: KeyboardEvent) => void;
}

export function usePlaces(query: string, onPick: (place: Place) => void): Places {
  const [opened, setOpened] = useState(false);
  const [active, setActive] = useState(-1);
  const answer = useAnswer(query, () => setActive(-1));
  const offered = query.length < SHORTEST_QUERY ? [] : (answer?.places ?? []);
  const shown = opened && offered.length > 0;

  const pick = (index: number): void => {
    const picked = offered[index];
    if (picked === undefined) return;
    setOpened(false);
    onPick(picked);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === "Escape") setOpened(false);
    if (!shown) return;
    if (event.key === "ArrowDown") setActive((now) => (now + 1) % offered.length);
    else if (event.key === "ArrowUp") {
      setActive((now) => (now <= 0 ? offered.length - 1 : now - 1));
    } else if (event.key === "Enter" && active >= 0) pick(active);
    else return;
    event.preventDefault();
  };
  return {
    offered,
    found: answer?.query === query ? answer.places : null,
    active,
    shown,
    open: () => setOpened(true),
    close: () => setOpened(false),
    pick,
    onKey,
  };
}

/** The last that the server said, and to which query; it is asked once the typing pauses. */
function useAnswer(query: string, onNew: () => void): { query: string; places: Place[] } | null {
  const [answer, setAnswer] = useState<{ query: string; places: Place[] } | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another query asks again
  useEffect(() => {
    if (query.length < SHORTEST_QUERY) return;
    const abort = new AbortController();
    const wait = setTimeout(() => {
      findPlaces(query, abort.signal).then(
        (places) => {
          if (abort.signal.aborted) return;
          setAnswer({ query, places });
          onNew();
        },
        () => undefined, // free text does without suggestions
      );
    }, TYPING_MS);
    return () => {
      clearTimeout(wait);
      abort.abort();
    };
  }, [query]);
  return answer;
}
