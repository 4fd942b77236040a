// Something to load for a view: loading, ready or failed, and a way to try again.
import { useCallback, useEffect, useState } from "preact/hooks";

export type Resource<T> =
  | { state: "loading" }
  | { state: "ready"; value: T }
  | { state: "failed"; error: Error };

/** Loads when `key` changes; answers to an older key are dropped. */
export function useResource<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
): [Resource<T>, () => void] {
  const [resource, setResource] = useState<Resource<T>>({ state: "loading" });
  const [round, setRound] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` stands for what `load` asks
  useEffect(() => {
    const abort = new AbortController();
    setResource({ state: "loading" });
    load(abort.signal).then(
      (value) => {
        if (!abort.signal.aborted) setResource({ state: "ready", value });
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        setResource({
          state: "failed",
          error: error instanceof Error ? error : new Error(String(error)),
        });
      },
    );
    return () => abort.abort();
  }, [key, round]);
  return [resource, useCallback(() => setRound((n) => n + 1), [])];
}
