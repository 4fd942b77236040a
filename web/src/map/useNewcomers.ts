// Pins that arrive while the page watches: they stand alone for a moment, then join the counts.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Pin } from "../api/types";

/** How long a pin that just arrived stands alone before it may join a count. */
const JOIN_AFTER_MS = 2_500;
/** How long an arrival is news: a pin that is met again later does not drop a second time. */
const NEWS_MS = 6_500;
const LOOK_MS = 1_500;

export interface Newcomers {
  /** Those that the server's counts do not hold yet. */
  fresh: ReadonlyMap<string, Pin>;
  /** The submissions of those that arrived just now; theirs are the pins that drop in. */
  arrived: ReadonlySet<string>;
  add: (pin: Pin) => void;
  /** The fresh of this moment: the next answer of the server will hold them. */
  waiting: () => string[];
  joined: (submissions: string[]) => void;
}

export function useNewcomers(askAgain: () => void): Newcomers {
  const [fresh, setFresh] = useState<ReadonlyMap<string, Pin>>(new Map());
  const [arrived, setArrived] = useState<ReadonlySet<string>>(new Set());
  const joining = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const forget = useForgetting(setArrived);
  const latest = useRef(fresh);
  latest.current = fresh;

  const add = useCallback(
    (pin: Pin): void => {
      const { submission } = pin.properties;
      setFresh((pins) => new Map(pins).set(submission, pin));
      setArrived((ids) => new Set(ids).add(submission));
      forget(submission);
      joining.current ??= setTimeout(() => {
        joining.current = undefined;
        askAgain();
      }, JOIN_AFTER_MS);
    },
    [askAgain, forget],
  );

  useEffect(() => () => clearTimeout(joining.current), []);

  const waiting = useCallback(() => [...latest.current.keys()], []);
  const joined = useCallback(
    (submissions: string[]): void =>
      setFresh((pins) => new Map([...pins].filter(([id]) => !submissions.includes(id)))),
    [],
  );
  return useMemo(
    () => ({ fresh, arrived, add, waiting, joined }),
    [fresh, arrived, add, waiting, joined],
  );
}

/** Takes arrivals away again once they are no news, many at a time. */
function useForgetting(
  set: (change: (ids: ReadonlySet<string>) => ReadonlySet<string>) => void,
): (submission: string) => void {
  const since = useRef(new Map<string, number>());
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(
    (submission: string): void => {
      since.current.set(submission, Date.now());
      const look = (): void => {
        timer.current = undefined;
        const old = [...since.current].filter(([, at]) => Date.now() - at >= NEWS_MS);
        for (const [id] of old) since.current.delete(id);
        const gone = new Set(old.map(([id]) => id));
        if (gone.size > 0) set((ids) => new Set([...ids].filter((id) => !gone.has(id))));
        if (since.current.size > 0) timer.current = setTimeout(look, LOOK_MS);
      };
      timer.current ??= setTimeout(look, NEWS_MS);
    },
    [set],
  );
}
