// A submission, followed to its end and beyond: by stream, by polling while no stream can be held, and now
// and then after the verdict, since organisers may have it graded again.
import { useCallback, useEffect, useState } from "preact/hooks";
import { getSubmission, paths } from "../api/client";
import { OfflineError, ProblemError } from "../api/problem";
import { isFinal, type Submission } from "../api/types";
import { Live, type LiveStatus } from "../live";

export interface Followed {
  submission: Submission | null;
  /** Why there is nothing to show; null while loading or when there is something. */
  error: Error | null;
  live: LiveStatus;
  /** The last question was not answered: what is shown may be old. */
  stale: boolean;
  /** Asks at once. */
  retry: () => void;
}

/** Streams can stand still without an error (sleep, proxies), so the page asks now and then. */
const LOOK_MS = 15_000;
/** What has a verdict seldom changes. */
const SETTLED_LOOK_MS = 60_000;
/** After a first look that found nobody. */
const AGAIN_MS = 5_000;

/** The later of two documents: a poll may be overtaken by the stream. */
export function newer(old: Submission | null, next: Submission): Submission {
  if (old === null || old.id !== next.id) return next;
  if (isFinal(old.state) && !isFinal(next.state) && old.updated_at === next.updated_at) return old;
  return Date.parse(next.updated_at) < Date.parse(old.updated_at) ? old : next;
}

interface Told {
  show: (submission: Submission) => void;
  fail: (error: Error) => void;
  live: (status: LiveStatus) => void;
  stale: (stale: boolean) => void;
}

/** Follows one submission until it is closed. */
class Following {
  private readonly abort = new AbortController();
  private etag: string | null = null;
  private last: Submission | null = null;
  private stream: Live | null = null;
  private look: ReturnType<typeof setInterval> | undefined;
  private again: ReturnType<typeof setTimeout> | undefined;
  private readonly id: string;
  private readonly told: Told;

  constructor(id: string, told: Told) {
    this.id = id;
    this.told = told;
    document.addEventListener("visibilitychange", this.glance);
    globalThis.addEventListener("online", this.hurry);
    void this.begin();
  }

  /** The first look. Where it was only the way there that failed, it is tried again. */
  private async begin(): Promise<void> {
    try {
      await this.ask();
    } catch (caught) {
      if (this.abort.signal.aborted) return;
      this.told.fail(caught instanceof Error ? caught : new Error(String(caught)));
      const refused = caught instanceof ProblemError && caught.problem.status < 429;
      if (!refused) this.again = setTimeout(() => void this.begin(), AGAIN_MS);
    }
  }

  close(): void {
    this.abort.abort();
    document.removeEventListener("visibilitychange", this.glance);
    globalThis.removeEventListener("online", this.hurry);
    clearTimeout(this.again);
    clearInterval(this.look);
    this.stream?.close();
  }

  private async ask(): Promise<void> {
    try {
      const answer = await getSubmission(this.id, this.etag, this.abort.signal);
      if (this.abort.signal.aborted) return;
      this.told.stale(false);
      if (answer === null) return;
      this.etag = answer.etag;
      this.take(answer.submission);
    } catch (caught) {
      const lost = caught instanceof OfflineError && !this.abort.signal.aborted;
      if (lost && this.last !== null) this.told.stale(true);
      throw caught;
    }
  }

  private take(next: Submission): void {
    this.last = newer(this.last, next);
    this.told.show(this.last);
    this.told.stale(false);
    const settled = isFinal(this.last.state);
    if (settled) {
      this.stream?.close();
      this.stream = null;
    } else this.stream ??= this.listen();
    clearInterval(this.look);
    this.look = setInterval(this.glance, settled ? SETTLED_LOOK_MS : LOOK_MS);
  }

  private listen(): Live {
    return new Live({
      url: paths.submissionLive(this.id),
      onStatus: this.told.live,
      poll: () => this.ask(),
      pollEveryMs: 2_000,
      on: { submission: (data) => this.take(data as Submission) },
    });
  }

  private readonly hurry = (): void => {
    clearTimeout(this.again);
    if (this.last === null) void this.begin();
    else this.glance();
  };

  /** Nobody looks at a page in the background; it asks when it is looked at again. */
  private readonly glance = (): void => {
    if (document.visibilityState === "hidden" || this.last === null) return;
    void this.ask().catch(() => undefined);
  };
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
    setError(null);
    const following = new Following(id, {
      show: (next) => setSubmission((old) => newer(old, next)),
      fail: setError,
      live: setLive,
      stale: setStale,
    });
    return () => following.close();
  }, [id, round]);

  return { submission, error, live, stale, retry };
}
