// A live stream that looks after itself: it reconnects with growing pauses, and polls while it cannot.

/** The part of EventSource that is used here; tests bring their own. */
export interface Source {
  onopen: ((event: Event) => unknown) | null;
  onerror: ((event: Event) => unknown) | null;
  addEventListener(name: string, listener: (event: MessageEvent<string>) => void): void;
  close(): void;
}

export type LiveStatus = "connecting" | "open" | "polling" | "closed";

export interface LiveOptions {
  url: string;
  /** One handler for each named event; it is given the parsed data. */
  on: Record<string, (data: unknown) => void>;
  /** Asked instead of the stream while the stream cannot be held. */
  poll: () => Promise<void> | void;
  onStatus?: (status: LiveStatus) => void;
  pollEveryMs?: number;
  connect?: (url: string) => Source;
  random?: () => number;
}

/** Failures in a row after which polling begins. */
const PATIENCE = 2;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

/** How long to wait after the n-th failure in a row: doubling, with jitter so that crowds spread. */
export function pauseMs(failures: number, random: () => number): number {
  const full = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
  return full * (0.5 + random() / 2);
}

export class Live {
  private readonly options: LiveOptions;
  private source: Source | null = null;
  private failures = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private polling: ReturnType<typeof setInterval> | undefined;
  private status: LiveStatus = "connecting";

  constructor(options: LiveOptions) {
    this.options = options;
    globalThis.addEventListener?.("online", this.hurry);
    this.open();
  }

  /** The end: nothing is sent, received or retried after this. */
  close(): void {
    globalThis.removeEventListener?.("online", this.hurry);
    clearTimeout(this.retry);
    this.stopPolling();
    this.source?.close();
    this.source = null;
    this.tell("closed");
  }

  private readonly hurry = (): void => {
    if (this.status === "closed" || this.source !== null) return;
    clearTimeout(this.retry);
    this.open();
  };

  private open(): void {
    const connect = this.options.connect ?? ((url: string): Source => new EventSource(url));
    const source = connect(this.options.url);
    this.source = source;
    source.onopen = () => {
      this.stopPolling();
      this.tell("open");
    };
    source.onerror = () => this.lost(source);
    for (const [name, handle] of Object.entries(this.options.on)) {
      source.addEventListener(name, (event) => {
        if (this.source !== source) return;
        // Only data proves a stream; a proxy may open one and drop it at once.
        this.failures = 0;
        const data = parse(event.data);
        if (data !== undefined) handle(data);
      });
    }
  }

  private lost(source: Source): void {
    if (this.source !== source) return;
    source.close();
    this.source = null;
    this.failures += 1;
    if (this.failures >= PATIENCE) this.startPolling();
    else this.tell("connecting");
    const pause = pauseMs(this.failures, this.options.random ?? Math.random);
    this.retry = setTimeout(() => this.open(), pause);
  }

  private startPolling(): void {
    this.tell("polling");
    if (this.polling !== undefined) return;
    const poll = (): void => {
      Promise.resolve()
        .then(() => this.options.poll())
        .catch(() => undefined); // the next round asks again
    };
    poll();
    this.polling = setInterval(poll, this.options.pollEveryMs ?? 3_000);
  }

  private stopPolling(): void {
    clearInterval(this.polling);
    this.polling = undefined;
  }

  private tell(status: LiveStatus): void {
    if (this.status === status) return;
    this.status = status;
    this.options.onStatus?.(status);
  }
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
