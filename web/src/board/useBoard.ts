// Everything that the board shows, kept true by the event's stream and asked for again after a gap.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getPins, getRecent } from "../api/client";
import type { Bbox, Pin, Pins, Stats } from "../api/types";
import type { LiveStatus } from "../live";
import { useEventLive } from "../map/useEventLive";
import type { Dot } from "./painter";
import { useKept } from "./useKept";

const WORLD: Bbox = [-180, -85, 180, 85];
/** Fine enough that cities stand apart on a wide screen, coarse enough that no answer is long. */
const ZOOM = 5;
export const MOST_RECENT = 20;
/** In a rush, pins are shown together this often. */
const GATHER_MS = 600;
const MOST_UNCOUNTED = 500;

export interface BoardNews {
  stats: Stats | null;
  status: LiveStatus;
  /** The latest successes, the newest first; null until they are known. */
  recent: Pin[] | null;
  /** Submissions that arrived while the board watched. */
  arrived: ReadonlySet<string>;
  dots: Dot[];
  /** The last arrival in words, for those who listen. */
  said: string;
}

export function useBoard(slug: string): BoardNews {
  const [fresh, setFresh] = useState<Pin[]>([]);
  const latest = useRef(fresh);
  latest.current = fresh;
  const recent = useKept(slug, async (signal) => {
    const before = new Set(latest.current.map(idOf));
    return { answer: await getRecent(slug, MOST_RECENT, signal), before };
  });
  const cells = useKept(slug, async (signal) => {
    const before = new Set(latest.current.map(idOf));
    return { answer: await getPins(slug, WORLD, ZOOM, signal), before };
  });

  const revision = cells.value?.answer.revision ?? null;
  const held = useRef(revision);
  held.current = revision;
  const reload = useCallback((): void => {
    recent.reload();
    cells.reload();
  }, [recent.reload, cells.reload]);
  const { stats, status } = useEventLive(slug, {
    onPin: useGathered(setFresh),
    onHello: (now) => {
      if (held.current !== null && held.current !== now) reload();
    },
    onStale: reload,
  });

  // A rush is counted by the server again before this page has to carry too much of it.
  const uncounted = fresh.length - (cells.value?.before.size ?? 0);
  const many = uncounted > MOST_UNCOUNTED;
  useEffect(() => {
    if (many) cells.reload();
  }, [many, cells.reload]);

  const list = useMemo(() => newestFirst(fresh, recent.value), [fresh, recent.value]);
  const dots = useMemo(() => dotsOf(cells.value, fresh), [cells.value, fresh]);
  const arrived = useMemo(() => new Set(fresh.map(idOf)), [fresh]);
  const last = fresh[0]?.properties;
  return {
    stats,
    status,
    recent: list,
    arrived,
    dots,
    said: last === undefined ? "" : `${last.name} from ${last.place} has passed.`,
  };
}

function idOf(pin: Pin): string {
  return pin.properties.submission;
}

/** Keeps what arrived while the board watched; the newest first, and not without end. */
const MOST_FRESH = 2_000;

function useGathered(set: (change: (old: Pin[]) => Pin[]) => void): (pin: Pin) => void {
  const waiting = useRef<Pin[]>([]);
  const later = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(later.current), []);
  return useCallback(
    (pin: Pin): void => {
      waiting.current.unshift(pin);
      later.current ??= setTimeout(() => {
        later.current = undefined;
        const come = waiting.current.splice(0);
        const ids = new Set(come.map(idOf));
        set((old) =>
          [...come, ...old.filter((known) => !ids.has(idOf(known)))].slice(0, MOST_FRESH),
        );
      }, GATHER_MS);
    },
    [set],
  );
}

/** An answer, and who had arrived when it was asked for: they are part of it, or have gone since. */
export interface Known<T> {
  answer: T;
  before: ReadonlySet<string>;
}

/** Those who came in by the stream and those who were asked for, each once. */
export function newestFirst(fresh: Pin[], known: Known<Pin[]> | null): Pin[] | null {
  if (known === null && fresh.length === 0) return null;
  const pins = new Map<string, Pin>();
  const since = fresh.filter((pin) => !known?.before.has(idOf(pin))).slice(0, MOST_RECENT);
  for (const pin of [...since, ...(known?.answer ?? [])]) {
    if (!pins.has(idOf(pin))) pins.set(idOf(pin), pin);
  }
  return [...pins.values()]
    .sort((a, b) => Date.parse(b.properties.at) - Date.parse(a.properties.at))
    .slice(0, MOST_RECENT);
}

export function dotsOf(known: Known<Pick<Pins, "features">> | null, fresh: Pin[]): Dot[] {
  const dots: Dot[] = [];
  const add = (lng: number, lat: number, count: number): void =>
    void dots.push({ lng, lat, count });
  for (const { geometry, properties } of known?.answer.features ?? []) {
    add(...geometry.coordinates, properties.count);
  }
  for (const pin of fresh) {
    if (!known?.before.has(idOf(pin))) add(...pin.geometry.coordinates, 1);
  }
  return dots;
}
