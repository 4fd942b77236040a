// A submission, followed to its end: by stream, by polling while no stream can be held.
import { useCallback, useEffect, useState } from "preact/hooks";
import { getSubmission, paths } from "../api/client";
import { OfflineError } from "../api/problem";
import { isFinal, type Submission } from "../api/types";
import { Live, type LiveStatus } from "../live";

export interface Followed {
  submission: Submission | null;
  /** Why there is nothing to show; null while loading or when there is something. */
  error: Error | null;
  live: LiveStatus;
  /** The last question was not answered: what is shown may be old. */
  stale: boolean;
  retry: () => void;
}

/** Streams can stand still without an error (sleep, proxies), so the page asks now and then. */
const LOOK_MS = 15_000;

/** The later of two documents: a poll may be overtaken by the stream. */
export function newer(old: Submission | null, next: Submission): Submission {
  if (old === null || old.id !== next.id) return next;
  if (isFinal(old.state) && !isFinal(next.state) && old.updated_at === next.updated_at) return old;
  return Date.parse(next.updated_at) < Date.parse(old.updated_at) ? old : next;
}

export function useSubmission(id: string): Followed {
  const [submission, setSubmission] = useState<Submission | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [live, setLive] = useState<LiveStatus>("connecting");
  const [stale, setStale] = useState(false);
  const [round, setRound] = useState(0);
  const retry = useCallback(() => setRound((n) => n + 1), []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` starts everything anew
  useEffect(() => {
    const abort = new AbortController();
    let etag: string | null = null;
    let stream: Live | null = null;
    let look: ReturnType<typeof setInterval> | undefined;

    const stop = (): void => {
      clearInterval(look);
      stream?.close();
      stream = null;
    };
    const show = (next: Submission): void => {
      setSubmission((old) => newer(old, next));
      setStale(false);
      if (isFinal(next.state)) stop();
    };
    const ask = async (): Promise<void> => {
      try {
        const answer = await getSubmission(id, etag, abort.signal);
        if (abort.signal.aborted) return;
        setStale(false);
        if (answer === null) return;
        etag = answer.etag;
        show(answer.submission);
      } catch (caught) {
        if (!abort.signal.aborted && caught instanceof OfflineError) setStale(true);
        throw caught;
      }
    };
    const follow = async (): Promise<void> => {
      setError(null);
      const first = await getSubmission(id, null, abort.signal);
      if (abort.signal.aborted || first === null) return;
      etag = first.etag;
      show(first.submission);
      if (isFinal(first.submission.state)) return;
      stream = new Live({
        url: paths.submissionLive(id),
        onStatus: setLive,
        poll: ask,
        pollEveryMs: 2_000,
        on: { submission: (data) => show(data as Submission) },
      });
      look = setInterval(() => void ask().catch(() => undefined), LOOK_MS);
    };
    follow().catch((caught: unknown) => {
      if (abort.signal.aborted) return;
      setError(caught instanceof Error ? caught : new Error(String(caught)));
    });
    return () => {
      abort.abort();
      stop();
    };
  }, [id, round]);

  return { submission, error, live, stale, retry };
}
