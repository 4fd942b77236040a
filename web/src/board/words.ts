// What the board says in words: names of countries, and what waits.
import type { Stats } from "../api/types";
import { duration } from "../parts/time";

const NUMBER = new Intl.NumberFormat();
const REGIONS = new Intl.DisplayNames("en", { type: "region", fallback: "code" });

export function countryName(code: string): string {
  try {
    return REGIONS.of(code) ?? code;
  } catch {
    return code; // not two letters: shown as it came
  }
}

export interface Rank {
  country: string;
  name: string;
  pins: number;
  /** As a share of the first one's. */
  share: number;
}

/** The countries as they are shown, and how many more there are. */
export function ranking(countries: Stats["countries"], most: number): [Rank[], more: number] {
  const first = Math.max(1, countries[0]?.pins ?? 1);
  const ranks = countries.slice(0, most).map(({ country, pins }) => ({
    country,
    name: countryName(country),
    pins,
    share: pins / first,
  }));
  return [ranks, Math.max(0, countries.length - most)];
}

/** "12 waiting, 3 grading" and for how long the first one waits, if that is worth saying. */
export function waitingWords({ totals, queue }: Stats): { now: string; since: string | null } {
  const { queued, grading } = totals;
  const parts: string[] = [];
  if (queued > 0) parts.push(`${NUMBER.format(queued)} waiting`);
  if (grading > 0) parts.push(`${NUMBER.format(grading)} grading`);
  const oldest = queued > 0 ? queue.oldest_s : null;
  return {
    now: parts.length === 0 ? "Nothing is waiting" : parts.join(", "),
    since: oldest === null || oldest < 20 ? null : `the first one for ${about(oldest)}`,
  };
}

function about(seconds: number): string {
  return duration(seconds < 60 ? seconds * 1000 : Math.round(seconds / 60) * 60_000).replace(
    /\.0 s$/,
    " s",
  );
}
