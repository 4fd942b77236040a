// What happens in an event, as it happens: numbers, new pins, and whether the stream is held.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { getStats, paths } from "../api/client";
import type { LiveStats, Pin, Stats } from "../api/types";
import { Live, type LiveStatus } from "../live";

const STATS_AFTER_MS = 2_000;

export interface EventLive {
  stats: Stats | null;
  status: LiveStatus;
}

interface Handlers {
  onPin: (pin: Pin) => void;
  /** A stream began at this revision of the pins. */
  onHello: (revision: number) => void;
  /** The pins may be others than those shown: ask for them again. */
  onStale: () => void;
}

export function useEventLive(slug: string, handlers: Handlers): EventLive {
  const [stats, setStats] = useState<Stats | null>(null);
  const [status, setStatus] = useState<LiveStatus>("connecting");
  const latest = useRef(handlers);
  latest.current = handlers;

  const load = useCallback(
    async (signal?: AbortSignal): Promise<void> => {
      const next = await getStats(slug, signal);
      if (!signal?.aborted) setStats(next);
    },
    [slug],
  );

  useEffect(() => {
    const abort = new AbortController();
    let greeted = false;
    let loaded = false;
    let later: ReturnType<typeof setTimeout> | undefined;
    const quietly = (): void => {
      load(abort.signal).then(
        () => {
          loaded = true;
        },
        () => undefined,
      );
    };
    // Places and participants are not part of the stream's numbers; one look serves many pins.
    const soon = (): void => {
      later ??= setTimeout(() => {
        later = undefined;
        quietly();
      }, STATS_AFTER_MS);
    };
    quietly();
    const live = new Live({
      url: paths.eventLive(slug),
      onStatus: setStatus,
      poll: async () => {
        latest.current.onStale();
        await load(abort.signal);
      },
      on: {
        hello: (data) => {
          latest.current.onHello((data as { revision: number }).revision);
          // Back after a gap, or not answered at first: what was missed is not sent again.
          if (greeted || !loaded) quietly();
          greeted = true;
        },
        pin: (data) => {
          latest.current.onPin(data as Pin);
          soon();
        },
        stats: (data) => {
          const { totals, pins, as_of } = data as LiveStats;
          setStats((old) => (old === null ? old : { ...old, totals, pins, as_of }));
        },
        reset: () => {
          latest.current.onStale();
          quietly();
        },
      },
    });
    return () => {
      abort.abort();
      clearTimeout(later);
      live.close();
    };
  }, [slug, load]);

  return { stats, status };
}
