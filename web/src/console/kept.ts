// A list that is renewed under its reader's eyes: rows stay where they are. New ones wait above until
// they are asked for, and what no longer belongs is marked and not taken away.
import { useLayoutEffect, useState } from "preact/hooks";

export interface Row<T> {
  row: T;
  /** It was in an earlier answer and is not in the last one, though it should be. */
  left: boolean;
}

export interface Merged<T> {
  rows: Row<T>[];
  /** How many came above since then. */
  newer: number;
}

/** An answer: one page of a list, and whether there is more behind it. */
export interface Page<T> {
  items: T[];
  next: string | null;
}

/**
 * Holds what is shown against a new answer. Ids grow with time and lists begin with the newest, so a
 * row that is older than the last of a full page was only pushed out of it.
 */
export function merge<T extends { id: string }>(
  shown: Row<T>[],
  { items: fresh, next }: Page<T>,
): Merged<T> {
  const [top, last] = [shown[0]?.row.id, next === null ? "" : (fresh.at(-1)?.id ?? "")];
  if (top === undefined) return { rows: fresh.map((row) => ({ row, left: false })), newer: 0 };
  const found = new Map(fresh.map((row) => [row.id, row]));
  const known = new Set(shown.map(({ row }) => row.id));
  const rows = shown.map(({ row, left }) => {
    const now = found.get(row.id);
    if (now !== undefined) return { row: now, left: false };
    return { row, left: left || row.id >= last };
  });
  const newer = fresh.filter((row) => !known.has(row.id) && row.id > top).length;
  // What came below, where rows left room, does not move anything.
  const below = fresh.filter((row) => !known.has(row.id) && row.id < top);
  const lowest = rows.at(-1)?.row.id ?? "";
  const added = below.filter((row) => row.id < lowest).map((row) => ({ row, left: false }));
  return { rows: [...rows, ...added], newer };
}

export interface Kept<T> extends Merged<T> {
  showAll: () => void;
}

/** The rows of the list that `key` names; `settled` once the answer is one to that very key. */
export function useKept<T extends { id: string }>(
  key: string,
  page: Page<T> | null,
  settled: boolean,
): Kept<T> {
  const [held, setHeld] = useState<Merged<T> & { key: string }>({ key, rows: [], newer: 0 });
  useLayoutEffect(() => {
    if (page === null || !settled) return;
    setHeld((old) => ({ key, ...merge(old.key === key ? old.rows : [], page) }));
  }, [key, page, settled]);
  const showAll = (): void => {
    if (page !== null) setHeld({ key, ...merge([], page) });
  };
  return { rows: held.rows, newer: held.newer, showAll };
}
