// The event in a minute: pins drop in the order of time, over a map of their own.
import type { VNode } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { getReplay } from "../api/client";
import type { Replay } from "../api/types";
import { motionReduced } from "../map/useFlight";
import { useSize } from "../map/useSize";
import { Icon } from "./icons";
import { type Dot, Painter } from "./painter";
import { planeOf } from "./plane";
import { momentFormat, Playback } from "./replay";
import { useKept } from "./useKept";
import { useReplay } from "./useReplay";
import { useScheme } from "./useScheme";
import { World } from "./World";

const STEPS = 240;
const NUMBER = new Intl.NumberFormat();

interface Props {
  slug: string;
  onEnd: () => void;
}

/** Asks for the event once; later arrivals are not part of the replay that runs. */
export function ReplayView({ slug, onEnd }: Props): VNode {
  const { value, missing, failed } = useKept(slug, (signal) => getReplay(slug, STEPS, signal));
  if (value !== null && value.total > 0) return <Running replay={value} onEnd={onEnd} />;
  const words =
    value !== null
      ? "Nothing to replay yet: nobody has passed."
      : missing || failed
        ? "The replay cannot be loaded now. It is tried again …"
        : "Loading the replay …";
  return (
    <>
      <div class="board-map" />
      <div class="replay-bar" data-testid="replay" data-running="false">
        <p role="status">{words}</p>
        <EndButton onEnd={onEnd} />
      </div>
    </>
  );
}

function Running({ replay, onEnd }: { replay: Replay; onEnd: () => void }): VNode {
  const playback = useMemo(() => new Playback(replay), [replay]);
  const stage = useStage(playback);
  const { share, running, toggle, again, moveTo } = useReplay(stage.show);
  const format = useMemo(() => momentFormat(replay), [replay]);
  const moment = playback.momentAt(share);
  const label = moment === null ? "" : format.format(moment);
  const passed = `${NUMBER.format(playback.dropped)} passed`;
  const over = share >= 1;
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => first.current?.focus({ preventScroll: true }), []);
  return (
    <>
      {stage.picture}
      <div
        class="replay-bar"
        data-testid="replay"
        data-running={String(running)}
        data-share={share.toFixed(3)}
      >
        <p class="replay-time">
          <span class="replay-moment" data-testid="replay-time">
            {label}
          </span>
          <span class="replay-passed" data-testid="replay-passed">
            {passed}
          </span>
        </p>
        <input
          type="range"
          class="replay-range"
          min="0"
          max="60"
          step="0.1"
          value={(share * 60).toFixed(1)}
          aria-label="Time of the event"
          aria-valuetext={`${label}, ${passed}`}
          onInput={(event) => moveTo(Number(event.currentTarget.value) / 60)}
        />
        <div class="replay-buttons">
          <button
            ref={first}
            type="button"
            class="button"
            data-testid="replay-pause"
            onClick={toggle}
          >
            <Icon name={over ? "again" : running ? "pause" : "play"} />
            {over ? "Again" : running ? "Pause" : "Go on"}
          </button>
          {!over && (
            <button type="button" class="button" data-testid="replay-again" onClick={again}>
              <Icon name="again" />
              Again
            </button>
          )}
          <EndButton onEnd={onEnd} />
        </div>
        <p class="unseen" role="status">
          {over ? `The replay has ended: ${passed}.` : ""}
        </p>
      </div>
    </>
  );
}

function EndButton({ onEnd }: { onEnd: () => void }): VNode {
  return (
    <button type="button" class="button" data-testid="replay-end" onClick={onEnd}>
      <Icon name="end" />
      End
    </button>
  );
}

/** The map of the replay, and the way to draw a moment on it. */
function useStage(playback: Playback): { picture: VNode; show: (share: number) => void } {
  const box = useRef<HTMLDivElement>(null);
  const below = useRef<HTMLCanvasElement>(null);
  const above = useRef<HTMLCanvasElement>(null);
  const painter = useRef<Painter | null>(null);
  const size = useSize(box);
  const plane = useMemo(() => planeOf(size), [size]);
  const scheme = useScheme();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another scheme has other colours
  useEffect(() => {
    if (below.current === null || size.width === 0) return;
    painter.current = new Painter(plane, below.current, motionReduced() ? null : above.current);
    painter.current.all(dotsOf(playback));
  }, [plane, size, playback, scheme]);

  // Rings that spread end by themselves, also while the time stands still.
  const frame = useRef(0);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  const show = (share: number): void => {
    const now = performance.now();
    const on = playback.seek(share, (place) => {
      const dot = dotOf(playback, place);
      if (dot !== null) painter.current?.grow(dot, now);
    });
    if (!on) painter.current?.all(dotsOf(playback));
    const move = (at: number): void => {
      frame.current = painter.current?.frame(at) === true ? requestAnimationFrame(move) : 0;
    };
    if (frame.current === 0) frame.current = requestAnimationFrame(move);
  };
  const picture = (
    <div ref={box} class="board-map" role="img" aria-label="World map, filling up as time runs">
      {size.width > 0 && <World plane={plane} height={size.height} />}
      <canvas ref={below} />
      <canvas ref={above} />
    </div>
  );
  return { picture, show };
}

function dotOf({ replay, counts }: Playback, place: number): Dot | null {
  const at = replay.places[place];
  return at === undefined ? null : { lng: at[0], lat: at[1], count: counts[place] ?? 0 };
}

function dotsOf(playback: Playback): Dot[] {
  return playback.replay.places.flatMap((_, place) => dotOf(playback, place) ?? []);
}
