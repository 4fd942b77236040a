// Something that a screen without hands keeps fresh: it asks again by itself until it has an answer.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ProblemError } from "../api/problem";

const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 20_000;

export interface Kept<T> {
  /** The newest answer; it stays while a newer one is asked for. */
  value: T | null;
  /** The server knows nothing of the kind, and will not by asking again. */
  missing: boolean;
  failed: boolean;
  reload: () => void;
}

/** Asks for what `key` stands for, and after each failure again, ever less often. */
export function useKept<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Kept<T> {
  const [value, setValue] = useState<T | null>(null);
  const [trouble, setTrouble] = useState<"missing" | "failed" | null>(null);
  const [round, setRound] = useState(0);
  const ask = useRef(load);
  ask.current = load;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` stands for what `load` asks
  useEffect(() => {
    const abort = new AbortController();
    let again: ReturnType<typeof setTimeout> | undefined;
    let pause = FIRST_PAUSE_MS;
    const go = async (): Promise<void> => {
      try {
        const next = await ask.current(abort.signal);
        if (abort.signal.aborted) return;
        setValue(next);
        setTrouble(null);
      } catch (error) {
        if (abort.signal.aborted) return;
        const missing = error instanceof ProblemError && error.problem.status === 404;
        setTrouble(missing ? "missing" : "failed");
        if (missing) return;
        again = setTimeout(go, pause);
        pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
      }
    };
    void go();
    return () => {
      clearTimeout(again);
      abort.abort();
    };
  }, [key, round]);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  return { value, missing: trouble === "missing", failed: trouble === "failed", reload };
}
