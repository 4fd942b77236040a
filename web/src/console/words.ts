// What the console says: acts, outcomes and numbers as people say them. No markup here.
import type { AuditLine, Change, RegradeState } from "../api/admin";
import type { Step } from "../api/types";

const ACTS: Record<string, string> = {
  hide: "Took the pin off the map",
  unhide: "Put the pin back on the map",
  cancel: "Cancelled a submission",
  requeue: "Had a submission tried again",
  erase: "Erased what is personal in a submission",
  close: "Closed the event",
  reopen: "Reopened the event",
  rules: "Changed the rules",
  regrade: "Began a re-grade",
  apply_regrade: "Applied a re-grade",
  undo_regrade: "Undid a re-grade",
  discard_regrade: "Gave a re-grade up",
  judge_image: "Said what a suspect image is",
  create_webhook: "Made a webhook",
  delete_webhook: "Deleted a webhook",
  ping_webhook: "Sent a ping to a webhook",
  export: "Exported all submissions",
};

export function actWords(what: string): string {
  return ACTS[what] ?? what.replaceAll("_", " ");
}

const OUTCOMES: Record<string, string> = {
  done: "done",
  failed: "failed",
  refused: "refused",
};

/** An act without an outcome is under way, or nobody knows how it ended. */
export function outcomeWord(outcome: string | null): string {
  return outcome === null ? "unfinished" : (OUTCOMES[outcome] ?? outcome);
}

/** `{from: 1, sha256: "…"}` as pairs to read; what is nested stands as JSON. */
export function detailPairs(detail: unknown): [name: string, value: string][] {
  if (typeof detail !== "object" || detail === null) return [];
  return Object.entries(detail).map(([name, value]) => [
    name.replaceAll("_", " "),
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
}

/** The re-grade that a line is about, if it is about one. */
export function regradeOf({ detail }: AuditLine): string | null {
  if (typeof detail !== "object" || detail === null || !("regrade" in detail)) return null;
  return typeof detail.regrade === "string" ? detail.regrade : null;
}

/** The suspect image that a line is about, if it is about one. */
export function suspectOf({ what, detail }: AuditLine): string | null {
  if (what !== "judge_image" || typeof detail !== "object" || detail === null) return null;
  return "digest" in detail && typeof detail.digest === "string" ? detail.digest : null;
}

export const REGRADE_WORDS: Record<RegradeState, string> = {
  preparing: "Preparing",
  grading: "Grading",
  ready: "Ready to apply",
  applying: "Applying",
  applied: "Applied",
  undoing: "Undoing",
  undone: "Undone",
  discarded: "Given up",
};

export const CHANGE_WORDS: Record<Change, string> = {
  waiting: "not graded yet",
  unchanged: "stays as it is",
  would_pass: "would pass",
  would_fail: "would fail",
  undetermined: "could not be graded",
};

export const STEP_NAMES: Record<Step, string> = {
  resolving: "Looking up",
  pulling: "Pulling",
  starting: "Starting",
  probing: "Asking",
  judging: "Comparing",
  cleaning: "Cleaning up",
};

const NUMBER = new Intl.NumberFormat("en");

export function count(n: number): string {
  return NUMBER.format(n);
}

/** `1 submission`, `12,000 submissions`. */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** 12 → `12 s`, 75 → `1 min`, 7300 → `2 h`. */
export function waited(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}
