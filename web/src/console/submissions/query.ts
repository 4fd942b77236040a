// What is searched for, as it stands in the address and as the API is asked for it.
import { queryOf } from "../../api/admin";
import type { State } from "../../api/types";

export const STATES: State[] = [
  "queued",
  "grading",
  "passed",
  "failed",
  "undetermined",
  "cancelled",
];

/** The states that end in a verdict, which can be another one under other rules. */
export const GRADED: State[] = ["passed", "failed", "undetermined"];

export interface Filters {
  q: string;
  state: string;
  reason: string;
  country: string;
  hidden: string;
}

export const NO_FILTERS: Filters = { q: "", state: "", reason: "", country: "", hidden: "" };
const NAMES = Object.keys(NO_FILTERS) as (keyof Filters)[];

export function filtersOf(search: string): Filters {
  const query = new URLSearchParams(search);
  const filters = { ...NO_FILTERS };
  for (const name of NAMES) filters[name] = query.get(name) ?? "";
  return filters;
}

/** Another search begins at its first page. */
export function searchOf(filters: Filters): string {
  return queryOf({
    ...filters,
    q: filters.q.trim(),
    reason: filters.reason.trim(),
    country: filters.country.trim().toUpperCase(),
  });
}

export function isFiltered(filters: Filters): boolean {
  return NAMES.some((name) => filters[name].trim() !== "");
}

/** What a re-grade can be asked for by: null where the search says more than that, or no verdict. */
export function regradeQuery(filters: Filters): string | null {
  const { q, state, reason, country, hidden } = filters;
  if (q !== "" || country !== "" || hidden !== "" || (state === "" && reason === "")) return null;
  if (state !== "" && !GRADED.some((graded) => graded === state)) return null;
  return queryOf({ states: state, reasons: reason });
}
