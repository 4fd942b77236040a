// The board for the venue: the world, large numbers, who passed last. It runs for days without hands.
import "../styles/map.css";
import "../styles/over.css";
import "../styles/board.css";
import type { VNode } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { getEvent } from "../api/client";
import { Credits } from "../parts/Credits";
import { Header } from "../parts/Header";
import { awayWords, Notice } from "../parts/Notice";
import { BoardMap } from "./BoardMap";
import { Figures } from "./Figures";
import { Icon } from "./icons";
import { ReplayView } from "./ReplayView";
import { Side } from "./Side";
import { TakePart } from "./TakePart";
import { type BoardNews, useBoard } from "./useBoard";
import { useKept } from "./useKept";
import { type Screen, useScreen } from "./useScreen";

/** This many of the last arrivals stand as pins above the dots. */
const MOST_PINS = 5;
const REPLAY_HASH = "#replay";

export function BoardView({ slug }: { slug: string }): VNode {
  const event = useKept(slug, (signal) => getEvent(slug, signal));
  const title = event.value?.title ?? "";
  useEffect(() => {
    if (title !== "") document.title = `${title} · Board · Portcall`;
  }, [title]);
  if (event.missing) {
    return (
      <>
        <Header event={null} />
        <main class="page" id="main">
          <Notice title="There is no such event">
            <p>The address may be mistyped, or the event was removed.</p>
            <p>
              <a class="button" href="/">
                To the map
              </a>
            </p>
          </Notice>
        </main>
      </>
    );
  }
  return <Board slug={slug} title={title} />;
}

function Board({ slug, title }: { slug: string; title: string }): VNode {
  const whole = useRef<HTMLDivElement>(null);
  const news = useBoard(slug);
  const screen = useScreen(whole);
  const [replaying, setReplaying] = useReplaying();
  const classes = ["board"];
  if (replaying) classes.push("replaying");
  if (screen.still) classes.push("still");
  if (screen.full) classes.push("full");
  return (
    <div ref={whole} class={classes.join(" ")} data-testid="board" data-live={news.status}>
      <Top
        {...{ slug, title, screen, replaying, status: news.status }}
        as_of={news.stats?.as_of ?? null}
        onReplay={() => setReplaying(true)}
      />
      <main class="board-main" id="main" tabIndex={-1}>
        {replaying ? (
          <ReplayView slug={slug} onEnd={() => setReplaying(false)} />
        ) : (
          <Now slug={slug} news={news} />
        )}
      </main>
      <p class="unseen" aria-live="polite">
        {replaying ? "" : news.said}
      </p>
    </div>
  );
}

function Now({ slug, news }: { slug: string; news: BoardNews }): VNode {
  const { stats, recent, arrived, dots } = news;
  const arrivals = (recent ?? [])
    .filter(({ properties }) => arrived.has(properties.submission))
    .slice(0, MOST_PINS)
    .reverse();
  return (
    <>
      <BoardMap dots={dots} arrivals={arrivals} total={stats?.pins ?? null} />
      <TakePart slug={slug} />
      <Credits />
      <Figures stats={stats} />
      <Side recent={recent} arrived={arrived} stats={stats} />
    </>
  );
}

function stateWords(status: BoardNews["status"], as_of: string | null): string {
  if (status !== "open" && status !== "connecting") return "Connection lost. Trying again …";
  return as_of === null ? "" : awayWords(as_of);
}

interface TopProps {
  slug: string;
  title: string;
  screen: Screen;
  replaying: boolean;
  status: BoardNews["status"];
  as_of: string | null;
  onReplay: () => void;
}

function Top({ slug, title, screen, replaying, status, as_of, onReplay }: TopProps): VNode {
  const start = useRef<HTMLButtonElement>(null);
  const ran = useRef(false);
  // Back from the replay, the focus is where it began.
  useEffect(() => {
    if (ran.current && !replaying) start.current?.focus({ preventScroll: true });
    ran.current = replaying;
  }, [replaying]);
  return (
    <header class="board-top">
      <h1 dir="auto">
        {title === "" ? (
          <>
            <span class="unseen">Board</span>
            {"\u00a0"}
          </>
        ) : (
          title
        )}
      </h1>
      {/* Reserved at all times, so that nothing moves when it is needed. */}
      <p class="board-state" role="status">
        {stateWords(status, as_of)}
      </p>
      <div class="board-actions">
        {!replaying && (
          <button
            ref={start}
            type="button"
            class="button"
            data-testid="replay-button"
            onClick={onReplay}
          >
            <Icon name="play" />
            Replay
          </button>
        )}
        {screen.toggle !== null && (
          <button
            type="button"
            class="button"
            data-testid="fullscreen-button"
            aria-pressed={screen.full}
            onClick={screen.toggle}
          >
            <Icon name={screen.full ? "shrink" : "fill"} />
            Full screen
          </button>
        )}
        {!screen.full && (
          <a class="button" href={`/events/${slug}`}>
            Map
          </a>
        )}
      </div>
    </header>
  );
}

/** Whether the replay is shown: so linked with `#replay`, and ended by Escape. */
function useReplaying(): [boolean, (on: boolean) => void] {
  const [on, setOn] = useState(() => location.hash === REPLAY_HASH);
  const set = useCallback((next: boolean): void => {
    history.replaceState(history.state, "", next ? REPLAY_HASH : location.pathname);
    setOn(next);
  }, []);
  useEffect(() => {
    const read = (): void => setOn(location.hash === REPLAY_HASH);
    globalThis.addEventListener("hashchange", read);
    return () => globalThis.removeEventListener("hashchange", read);
  }, []);
  useEffect(() => {
    if (!on) return;
    const end = (event: KeyboardEvent): void => {
      if (event.key === "Escape") set(false);
    };
    document.addEventListener("keydown", end);
    return () => document.removeEventListener("keydown", end);
  }, [on, set]);
  return [on, set];
}
