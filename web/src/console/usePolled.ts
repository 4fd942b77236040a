// Something that is asked for again and again: what is shown stays until the next answer is there.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Poller } from "./poller";

export interface Polled<T> {
  /** The last answer; null before the first. */
  value: T | null;
  /** Why the last question was not answered. */
  error: Error | null;
  /** What is shown answers another question: the new one is under way. */
  busy: boolean;
  refresh: () => void;
  /** Takes over what an act answered, without asking again. */
  put: (value: T) => void;
}

interface Held<T> {
  key: string;
  value: T | null;
  error: Error | null;
}

/** Asks at once, whenever `key` changes, and then every so often (null: never). */
export function usePolled<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
  everyMs: number | null,
): Polled<T> {
  const [held, setHeld] = useState<Held<T>>({ key, value: null, error: null });
  const now = useRef({ load, everyMs });
  now.current = { load, everyMs };
  const poller = useRef<Poller<T> | null>(null);

  useEffect(() => {
    const one = new Poller<T>({
      load: (signal) => now.current.load(signal),
      everyMs: () => now.current.everyMs,
      onValue: (value) => setHeld({ key, value, error: null }),
      onError: (error) => setHeld((old) => ({ ...old, key, error })),
    });
    poller.current = one;
    return () => one.stop();
  }, [key]);

  const refresh = useCallback(() => poller.current?.again(), []);
  const put = useCallback(
    (value: T) => {
      poller.current?.overtaken();
      setHeld({ key, value, error: null });
    },
    [key],
  );
  return { value: held.value, error: held.error, busy: held.key !== key, refresh, put };
}
