// From spans of time to rows of a chart: what stands side by side, what is added up, what it is called.
import type { Bucket } from "../../api/admin";

export interface Span {
  /** In the address. */
  name: string;
  words: string;
  stepS: number;
  buckets: number;
}

/** What can be looked at; every one has bars that are wide enough on a phone. */
export const SPANS: readonly [Span, ...Span[]] = [
  { name: "3h", words: "3 hours", stepS: 300, buckets: 36 },
  { name: "12h", words: "12 hours", stepS: 1_200, buckets: 36 },
  { name: "2d", words: "2 days", stepS: 3_600, buckets: 48 },
  { name: "2w", words: "2 weeks", stepS: 28_800, buckets: 42 },
];

export function spanOf(search: string): Span {
  const wanted = new URLSearchParams(search).get("span");
  return SPANS.find((span) => span.name === wanted) ?? SPANS[0];
}

/** One series of a chart. `colour` counts through the palette, or names a fixed one. */
export interface Series {
  name: string;
  colour: string;
  kind: "bar" | "line";
  values: number[];
}

export function throughput(buckets: Bucket[]): Series[] {
  const bar = (name: string, key: "passed" | "failed" | "undetermined" | "cancelled"): Series => ({
    name,
    colour: key,
    kind: "bar",
    values: buckets.map((bucket) => bucket[key]),
  });
  return [
    {
      name: "Submitted",
      colour: "submitted",
      kind: "line",
      values: buckets.map((bucket) => bucket.submitted),
    },
    bar("Passed", "passed"),
    bar("Failed", "failed"),
    bar("Undecided", "undetermined"),
    bar("Cancelled", "cancelled"),
  ];
}

/** More colours than these are not told apart; the rest is added up. */
export const MOST_REASONS = 6;
export const OTHERS = "All others";

export function reasons(buckets: Bucket[]): Series[] {
  const sums = new Map<string, number>();
  for (const bucket of buckets) {
    for (const [code, n] of Object.entries(bucket.reasons)) {
      sums.set(code, (sums.get(code) ?? 0) + n);
    }
  }
  const codes = [...sums]
    .filter(([, n]) => n > 0)
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .map(([code]) => code);
  const own = codes.length > MOST_REASONS + 1 ? codes.slice(0, MOST_REASONS) : codes;
  const rest = codes.slice(own.length);
  const series = own.map(
    (code, n): Series => ({
      name: code,
      colour: String((n % (MOST_REASONS + 1)) + 1),
      kind: "bar",
      values: buckets.map((bucket) => bucket.reasons[code] ?? 0),
    }),
  );
  if (rest.length === 0) return series;
  const values = buckets.map((bucket) =>
    rest.reduce((sum, code) => sum + (bucket.reasons[code] ?? 0), 0),
  );
  return [...series, { name: OTHERS, colour: "others", kind: "bar", values }];
}

export function total(series: Series): number {
  return series.values.reduce((sum, n) => sum + n, 0);
}

export function isEmpty(series: Series[]): boolean {
  return series.every((one) => total(one) === 0);
}

/** What stands under each bar: the clock, and the day where a new one begins or bars are long. */
export function labels(buckets: Bucket[], stepS: number, locale?: string): string[] {
  const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(locale, { weekday: "short", day: "numeric" });
  let before = "";
  return buckets.map(({ at }, n) => {
    const date = new Date(at);
    const today = day.format(date);
    const isNew = today !== before && n > 0;
    before = today;
    if (stepS >= 21_600) return `${today}, ${clock.format(date)}`;
    return isNew ? `${today}, ${clock.format(date)}` : clock.format(date);
  });
}
