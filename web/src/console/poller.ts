// Asks again and again, as long as somebody looks: a pause between, longer ones after failures.
import { ProblemError } from "../api/problem";

const LONGEST_PAUSE_MS = 60_000;

/** How long until the next question: longer after each one in a row that was not answered. */
export function pauseAfter(everyMs: number, failures: number, error: Error | null): number {
  const told = error instanceof ProblemError ? (error.retryAfterS ?? 0) * 1000 : 0;
  const grown = Math.min(everyMs * 2 ** Math.min(failures, 6), LONGEST_PAUSE_MS);
  return Math.max(everyMs, told, failures === 0 ? 0 : grown);
}

/** Whether the answer stays the same however often one asks. */
export function isLasting(error: Error): boolean {
  return error instanceof ProblemError && [401, 403, 404].includes(error.problem.status);
}

export interface PollerOptions<T> {
  load: (signal: AbortSignal) => Promise<T>;
  /** The pause between two questions; null asks only once. */
  everyMs: () => number | null;
  onValue: (value: T) => void;
  onError: (error: Error) => void;
}

export class Poller<T> {
  private readonly options: PollerOptions<T>;
  private abort = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private running = false;
  private answered = false;
  private stopped = false;

  constructor(options: PollerOptions<T>) {
    this.options = options;
    document.addEventListener("visibilitychange", this.look);
    globalThis.addEventListener("online", this.look);
    this.ask();
  }

  /** The end: nothing is asked or told after this. */
  stop(): void {
    this.stopped = true;
    this.abort.abort();
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.look);
    globalThis.removeEventListener("online", this.look);
  }

  /** Asks now; what is under way was asked too early and is dropped. */
  again(): void {
    this.drop();
    this.ask();
  }

  /** What is under way was asked before something changed: its answer is not wanted any more. */
  overtaken(): void {
    this.drop();
    this.later(null);
  }

  private drop(): void {
    this.abort.abort();
    this.abort = new AbortController();
    this.running = false;
    clearTimeout(this.timer);
  }

  private readonly look = (): void => {
    if (!document.hidden && this.options.everyMs() !== null) this.ask();
  };

  private ask(): void {
    if (this.running || this.stopped) return;
    clearTimeout(this.timer);
    // Nobody looks: the next look asks.
    if (document.hidden && this.answered) return;
    this.running = true;
    const { signal } = this.abort;
    this.options.load(signal).then(
      (value) => {
        if (signal.aborted) return;
        this.settle(null);
        this.options.onValue(value);
      },
      (caught: unknown) => {
        if (signal.aborted) return;
        const error = caught instanceof Error ? caught : new Error(String(caught));
        this.settle(error);
        this.options.onError(error);
      },
    );
  }

  private settle(error: Error | null): void {
    this.running = false;
    this.answered = true;
    this.failures = error === null ? 0 : this.failures + 1;
    this.later(error);
  }

  private later(error: Error | null): void {
    const every = this.options.everyMs();
    if (every === null || this.stopped || (error !== null && isLasting(error))) return;
    const pause = pauseAfter(every, this.failures, error);
    this.timer = setTimeout(() => this.ask(), pause);
  }
}
