// Pins that arrive while the page watches: they stand alone for a moment, then join the counts.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Pin } from "../api/types";

/** How long a pin that just arrived stands alone before it may join a count. */
const JOIN_AFTER_MS = 2_500;

export interface Newcomers {
  /** Those that the server's counts do not hold yet. */
  fresh: ReadonlyMap<string, Pin>;
  /** The submissions of all that arrived. */
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
  const latest = useRef(fresh);
  latest.current = fresh;

  const add = useCallback(
    (pin: Pin): void => {
      const { submission } = pin.properties;
      setFresh((pins) => new Map(pins).set(submission, pin));
      setArrived((ids) => new Set(ids).add(submission));
      joining.current ??= setTimeout(() => {
        joining.current = undefined;
        askAgain();
      }, JOIN_AFTER_MS);
    },
    [askAgain],
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
