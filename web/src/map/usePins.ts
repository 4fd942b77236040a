// The pins and counts of the window: asked for when the view rests, kept until better ones come.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getPins } from "../api/client";
import { type Cell, isPin, type Pin, type Pins } from "../api/types";
import { Answers } from "./answers";
import { type Newcomers, useNewcomers } from "./useNewcomers";
import { apiZoom, bboxOf, type Size, type View } from "./viewport";

const REST_MS = 140;
const ASK_AGAIN_MS = 4_000;

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

export function usePins(slug: string, view: View, size: Size): WindowPins {
  const [round, setRound] = useState(0);
  const [kept] = useState(() => new Answers());
  const askAgain = useCallback(() => setRound((n) => n + 1), []);
  // Those who left the map must not come back from what was kept.
  const reload = useCallback(() => {
    kept.clear();
    askAgain();
  }, [kept, askAgain]);
  const newcomers = useNewcomers(askAgain);
  const { meet, hold } = useRevision(reload);
  const { answer, failed } = useAnswer({ slug, view, size, round, kept }, newcomers, hold);

  // Unanswered questions are asked again; the old picture stays meanwhile.
  useEffect(() => {
    if (!failed) return;
    const again = setInterval(askAgain, ASK_AGAIN_MS);
    return () => clearInterval(again);
  }, [failed, askAgain]);

  const { fresh, arrived, add } = newcomers;
  const features = useMemo(() => withFresh(answer?.features ?? [], fresh), [answer, fresh]);
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

function withFresh(known: (Cell | Pin)[], fresh: ReadonlyMap<string, Pin>): (Cell | Pin)[] {
  if (fresh.size === 0) return known;
  const shown = new Set(known.filter(isPin).map((pin) => pin.properties.submission));
  return [...known, ...[...fresh.values()].filter((p) => !shown.has(p.properties.submission))];
}

interface Question {
  slug: string;
  view: View;
  size: Size;
  round: number;
  kept: Answers;
}

/** The newest answer for the window; a move inside what was fetched asks nothing. */
function useAnswer(
  { slug, view, size, round, kept }: Question,
  { waiting, joined }: Newcomers,
  hold: (revision: number) => void,
): { answer: Pins | null; failed: boolean } {
  const [answer, setAnswer] = useState<Pins | null>(null);
  const [failed, setFailed] = useState(false);
  const asked = useRef(false);
  const zoom = apiZoom(view.zoom);
  useEffect(() => {
    if (size.width === 0) return;
    const known = kept.find(zoom, bboxOf(view, size, 0));
    if (known !== null) setAnswer(known.answer);
    if (known?.round === round) return;
    const abort = new AbortController();
    const load = async (): Promise<void> => {
      asked.current = true;
      const bbox = bboxOf(view, size);
      const before = waiting();
      try {
        const next = await getPins(slug, bbox, zoom, abort.signal);
        if (abort.signal.aborted) return;
        kept.keep({ zoom, bbox, round, answer: next });
        setAnswer(next);
        setFailed(false);
        // Those that arrived before the question are part of the answer.
        joined(before);
        hold(next.revision);
      } catch {
        if (!abort.signal.aborted) setFailed(true);
      }
    };
    const wait = setTimeout(load, asked.current ? REST_MS : 0);
    return () => {
      clearTimeout(wait);
      abort.abort();
    };
  }, [slug, round, kept, zoom, view, size, waiting, joined, hold]);
  return { answer, failed };
}

interface Revisions {
  meet: (revision: number) => void;
  hold: (revision: number) => void;
}

/** Compares the revision of the stream with that of the pins, whichever is known first. */
function useRevision(reload: () => void): Revisions {
  const held = useRef<number | null>(null);
  const wanted = useRef<number | null>(null);
  const meet = useCallback(
    (revision: number): void => {
      if (held.current === null) wanted.current = revision;
      else if (held.current !== revision) reload();
    },
    [reload],
  );
  const hold = useCallback(
    (revision: number): void => {
      held.current = revision;
      const behind = wanted.current !== null && wanted.current !== revision;
      wanted.current = null;
      if (behind) reload();
    },
    [reload],
  );
  return { meet, hold };
}
