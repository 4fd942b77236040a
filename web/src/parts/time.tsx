// Times as people say them, in the viewer's own zone; the exact one is in the title.
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const SHORT_CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export function ago(at: Date, now: Date): string {
  const seconds = Math.round((at.getTime() - now.getTime()) / 1000);
  const size = Math.abs(seconds);
  if (size < 10) return "just now";
  if (size < 60) return RELATIVE.format(seconds, "second");
  if (size < 3600) return RELATIVE.format(Math.round(seconds / 60), "minute");
  if (size < 86_400) return RELATIVE.format(Math.round(seconds / 3600), "hour");
  if (size < 30 * 86_400) return RELATIVE.format(Math.round(seconds / 86_400), "day");
  return DAY.format(at);
}

function sameDay(a: Date, b: Date): boolean {
  return a.toDateString() === b.toDateString();
}

/** The clock for today, day and clock for any other day. */
export function clock(at: Date, now = new Date()): string {
  return sameDay(at, now) ? SHORT_CLOCK.format(at) : DAY.format(at);
}

/** 640 → "640 ms", 2150 → "2.2 s", 75000 → "1 min 15 s". */
export function duration(ms: number): string {
  if (ms < 0.5) return "< 1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const rest = seconds % 60;
  return rest === 0
    ? `${Math.floor(seconds / 60)} min`
    : `${Math.floor(seconds / 60)} min ${rest} s`;
}

interface Props {
  at: string;
  kind?: "ago" | "clock" | "exact";
}

export function Time({ at, kind = "ago" }: Props): VNode {
  const now = useNow(kind === "ago" ? 20_000 : null);
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return <span>{at}</span>;
  const words =
    kind === "ago" ? ago(date, now) : kind === "clock" ? clock(date, now) : CLOCK.format(date);
  return (
    <time dateTime={at} title={FULL.format(date)}>
      {words}
    </time>
  );
}

/** The current time, renewed every so often; null never renews. */
export function useNow(everyMs: number | null): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    if (everyMs === null) return;
    const tick = setInterval(() => setNow(new Date()), everyMs);
    return () => clearInterval(tick);
  }, [everyMs]);
  return now;
}
