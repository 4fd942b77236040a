// The pins and counts of the window: asked for when the view rests, kept until better ones come.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getPins } from "../api/client";
import { type Bbox, type Cell, isPin, type Pin } from "../api/types";
import { apiZoom, bboxOf, type Size, type View } from "./viewport";

const REST_MS = 140;
/** How long a pin that just arrived stands alone before it may join a count. */
const JOIN_AFTER_MS = 2_500;

export interface WindowPins {
  features: (Cell | Pin)[];
  total: number | null;
  /** Submissions whose pins arrived while this page watched. */
  arrived: ReadonlySet<string>;
  /** Those of them that the server's counts do not hold yet. */
  fresh: ReadonlySet<string>;
  failed: boolean;
  add: (pin: Pin) => void;
  /** The stream stands at this revision: pins of another one are asked for again, once. */
  meet: (revision: number) => void;
  reload: () => void;
}

interface Answer {
  features: (Cell | Pin)[];
  total: number;
  revision: number;
}

/** Whether a box that was fetched holds all of what is now in the window. */
export function covers(outer: Bbox, inner: Bbox): boolean {
  if (inner[1] < outer[1] - 1e-9 || inner[3] > outer[3] + 1e-9) return false;
  if (outer[2] - outer[0] >= 360) return true;
  const span = (box: Bbox): number => (box[2] - box[0] + 360) % 360 || 360;
  const offset = (inner[0] - outer[0] + 720) % 360;
  return offset + span(inner) <= span(outer) + 1e-9;
}

export function usePins(slug: string, view: View, size: Size): WindowPins {
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [fresh, setFresh] = useState<ReadonlyMap<string, Pin>>(new Map());
  const [arrived, setArrived] = useState<ReadonlySet<string>>(new Set());
  const [failed, setFailed] = useState(false);
  const [round, setRound] = useState(0);
  const fetched = useRef<{ key: string; bbox: Bbox } | null>(null);
  const joining = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const freshNow = useRef(fresh);
  freshNow.current = fresh;
  const held = useRef<number | null>(null);
  const wanted = useRef<number | null>(null);

  const reload = useCallback(() => setRound((n) => n + 1), []);

  const meet = useCallback(
    (revision: number): void => {
      if (held.current === null) wanted.current = revision;
      else if (held.current !== revision) reload();
    },
    [reload],
  );

  const add = useCallback(
    (pin: Pin): void => {
      const { submission } = pin.properties;
      setFresh((pins) => new Map(pins).set(submission, pin));
      setArrived((ids) => new Set(ids).add(submission));
      joining.current ??= setTimeout(() => {
        joining.current = undefined;
        reload();
      }, JOIN_AFTER_MS);
    },
    [reload],
  );

  useEffect(() => () => clearTimeout(joining.current), []);

  const zoom = apiZoom(view.zoom);
  const key = `${slug} ${zoom} ${round}`;
  useEffect(() => {
    if (size.width === 0) return;
    const last = fetched.current;
    if (last !== null && last.key === key && covers(last.bbox, bboxOf(view, size, 0))) return;
    const abort = new AbortController();
    const load = async (): Promise<void> => {
      const bbox = bboxOf(view, size);
      const before = [...freshNow.current.keys()];
      try {
        const next = await getPins(slug, bbox, zoom, abort.signal);
        if (abort.signal.aborted) return;
        fetched.current = { key, bbox };
        held.current = next.revision;
        setAnswer(next);
        setFailed(false);
        // Those that arrived before the question are part of the answer.
        setFresh((pins) => new Map([...pins].filter(([id]) => !before.includes(id))));
        const behind = wanted.current !== null && wanted.current !== next.revision;
        wanted.current = null;
        if (behind) reload();
      } catch {
        if (!abort.signal.aborted) setFailed(true);
      }
    };
    const wait = setTimeout(load, last === null ? 0 : REST_MS);
    return () => {
      clearTimeout(wait);
      abort.abort();
    };
  }, [slug, key, zoom, view, size, reload]);

  // Unanswered questions are asked again; the old picture stays meanwhile.
  useEffect(() => {
    if (!failed) return;
    const again = setInterval(reload, 4_000);
    return () => clearInterval(again);
  }, [failed, reload]);

  const features = useMemo(() => {
    const known = answer?.features ?? [];
    if (fresh.size === 0) return known;
    const shown = new Set(known.filter(isPin).map((pin) => pin.properties.submission));
    return [...known, ...[...fresh.values()].filter((p) => !shown.has(p.properties.submission))];
  }, [answer, fresh]);

  const alone = useMemo(() => new Set(fresh.keys()), [fresh]);

  return {
    features,
    total: answer?.total ?? null,
    arrived,
    fresh: alone,
    failed,
    add,
    meet,
    reload,
  };
}
