// The list of suggested places: looked up while somebody types, walked through by keys, opened and closed.
import { useEffect, useState } from "preact/hooks";
import { findPlaces } from "../api/client";
import type { Place } from "../api/types";

const TYPING_MS = 180;
const SHORTEST_QUERY = 2;

export interface Places {
  found: Place[];
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
  const found = useFound(query, () => setActive(-1));
  const shown = opened && found.length > 0;

  const pick = (index: number): void => {
    const picked = found[index];
    if (picked === undefined) return;
    setOpened(false);
    onPick(picked);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === "Escape") setOpened(false);
    if (!shown) return;
    if (event.key === "ArrowDown") setActive((now) => (now + 1) % found.length);
    else if (event.key === "ArrowUp") {
      setActive((now) => (now <= 0 ? found.length - 1 : now - 1));
    } else if (event.key === "Enter" && active >= 0) pick(active);
    else return;
    event.preventDefault();
  };
  return {
    found,
    active,
    shown,
    open: () => setOpened(true),
    close: () => setOpened(false),
    pick,
    onKey,
  };
}

/** What the server suggests, once the typing pauses. */
function useFound(query: string, onNew: () => void): Place[] {
  const [found, setFound] = useState<Place[]>([]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another query asks again
  useEffect(() => {
    if (query.length < SHORTEST_QUERY) {
      setFound([]);
      return;
    }
    const abort = new AbortController();
    const wait = setTimeout(() => {
      findPlaces(query, abort.signal).then(
        (places) => {
          if (abort.signal.aborted) return;
          setFound(places);
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
  return found;
}
