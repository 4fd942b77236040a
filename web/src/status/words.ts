// What the status page says, as plain sentences and rows. No markup here.
import {
  type Attempt,
  type CheckFailure,
  isFinal,
  STEPS,
  type Step,
  type Submission,
  type Transcript,
} from "../api/types";
import { isErased } from "./erased";

export const STATE_WORDS: Record<Submission["state"], string> = {
  queued: "Queued",
  grading: "Grading",
  passed: "Passed",
  failed: "Failed",
  undetermined: "Undecided",
  cancelled: "Cancelled",
};

const STEP_WORDS: Record<Step, [now: string, done: string]> = {
  resolving: ["Looking the images up", "Images found"],
  pulling: ["Pulling the images", "Images pulled"],
  starting: ["Starting the containers", "Containers started"],
  probing: ["Asking on port 80", "Asked on port 80"],
  judging: ["Comparing with the rules", "Compared with the rules"],
  cleaning: ["Cleaning up", "Cleaned up"],
};

export type RowState = "done" | "now" | "todo" | "skipped" | "unreached";

export interface Row {
  step: Step | "queued";
  text: string;
  state: RowState;
  at: string | null;
  ms: number | null;
}

/** The attempt that is told about: the one that decided, or the one that runs. */
export function shownAttempt(submission: Submission): Attempt | null {
  const { attempts, verdict } = submission;
  const decided = attempts.find((attempt) => attempt.n === verdict?.attempt);
  return decided ?? (submission.state === "queued" ? null : (attempts.at(-1) ?? null));
}

export function timeline(submission: Submission): Row[] {
  const attempt = shownAttempt(submission);
  const waiting = submission.state === "queued";
  // Whatever attempt is shown, its first turn came with the first.
  const first = waiting ? undefined : submission.attempts[0];
  const started = first === undefined ? null : Date.parse(first.started_at);
  const queued: Row = {
    step: "queued",
    text: waiting ? "Waiting for a free slot" : "Queued",
    state: waiting ? "now" : "done",
    at: submission.created_at,
    ms: started === null ? null : Math.max(0, started - Date.parse(submission.created_at)),
  };
  return [queued, ...STEPS.map((step) => stepRow(submission, attempt, step))];
}

function stepRow(submission: Submission, attempt: Attempt | null, step: Step): Row {
  const all = attempt?.steps ?? [];
  const index = all.findLastIndex((time) => time.step === step);
  const times = all[index];
  const running = submission.state === "grading" && submission.step === step;
  const [now, done] = STEP_WORDS[step];
  if (running) {
    return { step, text: now, state: "now", at: times?.at ?? null, ms: null };
  }
  if (times !== undefined) {
    const ms = times.ms ?? between(times.at, all[index + 1]?.at);
    return { step, text: done, state: "done", at: times.at, ms };
  }
  return { step, text: now, state: absence(submission, attempt, step), at: null, ms: null };
}

/** Until the end of an attempt no step has its length, but each ends where the next begins. */
function between(at: string, next: string | undefined): number | null {
  return next === undefined ? null : Math.max(0, Date.parse(next) - Date.parse(at));
}

/** Why a step has no time: it is still to come, was not needed, or was never reached. */
function absence(submission: Submission, attempt: Attempt | null, step: Step): RowState {
  const reached = (attempt?.steps ?? []).map((time) => STEPS.indexOf(time.step));
  if (submission.step !== null) reached.push(STEPS.indexOf(submission.step));
  // Cleaning up follows on every end, so it says nothing about the steps before it.
  const beyond = reached.filter((index) => STEPS[index] !== "cleaning");
  if (beyond.some((index) => index > STEPS.indexOf(step))) return "skipped";
  return isFinal(submission.state) ? "unreached" : "todo";
}

export function verdictSentence(submission: Submission): string {
  const { verdict, participant, place } = submission;
  const reason = verdict?.reason?.message;
  const erased = isErased(submission);
  switch (verdict?.outcome ?? submission.state) {
    case "passed":
      if (erased) return "This submission had passed.";
      return place.lat === null
        ? `${participant.name} has passed. The place is not known to us, so there is no pin.`
        : `${participant.name} has passed.`;
    case "failed":
      if (erased) return "This submission did not pass.";
      return sentence(reason ?? "The submission did not pass.");
    case "undetermined":
      return "This could not be graded, and that is not your fault.";
    case "cancelled":
      return "This submission was cancelled.";
    default:
      return "There is no verdict yet.";
  }
}

/** How an attempt ended, for people. */
export const OUTCOME_WORDS: Record<NonNullable<Attempt["outcome"]>, string> = {
  passed: "passed",
  failed: "did not pass",
  released: "given back, not counted",
  handed_back: "handed back by a worker that stopped, not counted",
  lost: "its worker fell silent, not counted",
  cancelled: "cancelled",
};

/**
 * Whether organisers had it graded again after its verdict: an attempt with an outcome of its own stands
 * before the one that decides, or after it, where the re-grade was taken back.
 */
export function regrading({ attempts, verdict }: Submission): {
  kind: "none" | "anew" | "undone";
  other: Attempt | null;
} {
  const decided = attempts.filter(({ outcome }) => outcome === "passed" || outcome === "failed");
  const n = verdict?.attempt ?? 0;
  const other = decided.findLast((attempt) => attempt.n !== n) ?? null;
  if (n === 0 || other === null) return { kind: "none", other: null };
  return { kind: other.n < n ? "anew" : "undone", other };
}

/** Starts with a capital and ends with a stop, whatever the server's habit. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === "") return trimmed;
  // Names with dots and slashes (hosts, images, paths) keep their spelling.
  const plain = /^[a-z]+(?=[\s,]|$)/.test(trimmed);
  const capital = plain ? trimmed.charAt(0).toUpperCase() + trimmed.slice(1) : trimmed;
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}

/** "You are next", "3rd in the queue", with the usual wait. */
export function queueSentence(queue: NonNullable<Submission["queue"]>): string {
  const { position, eta } = queue;
  if (queue.at_least === true) return `More than ${position - 1} are before you in the queue.`;
  const place = position <= 1 ? "You are next" : `You are ${ordinal(position)} in the queue`;
  if (eta === null) return `${place}.`;
  const [from, to] = [seconds(eta.p50_s), seconds(eta.p90_s)];
  const [low = "", unit = ""] = from.split("\u00a0");
  const wait = from === to ? to : `${to.endsWith(unit) ? low : from} to ${to}`;
  return `${place}; it usually takes ${wait}.`;
}

function seconds(value: number): string {
  if (value < 90) return `${Math.max(1, Math.round(value))}\u00a0s`;
  return `${Math.round(value / 60)}\u00a0min`;
}

export function ordinal(n: number): string {
  const suffix = { one: "st", two: "nd", few: "rd", other: "th", zero: "th", many: "th" };
  return `${n}${suffix[new Intl.PluralRules("en", { type: "ordinal" }).select(n)]}`;
}

/** "ready_s", "s" → "ready": the unit stands after the value already. */
export function limitName(name: string, unit: string | null): string {
  const end = `_${(unit ?? "").toLowerCase()}`;
  const bare = unit !== null && name.endsWith(end) ? name.slice(0, -end.length) : name;
  return bare.replaceAll("_", " ");
}

/** Whether a failure's message only repeats the comparison that stands below it. */
export function saysNoMore({ path, expected, got, message }: CheckFailure): boolean {
  if (message === "") return true;
  return path !== "" && message.includes(shown(expected)) && message.includes(shown(got));
}

/** Every check is asked more than once; answers that agree are shown once. */
export function distinct(transcripts: Transcript[]): { exchange: Transcript; times: number }[] {
  const found = new Map<string, { exchange: Transcript; times: number }>();
  for (const exchange of transcripts) {
    const key = JSON.stringify({ ...exchange, ms: null });
    const same = found.get(key);
    if (same === undefined) found.set(key, { exchange, times: 1 });
    else same.times += 1;
  }
  return [...found.values()];
}

/** A value of an answer as people can compare it. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function megabytes(bytes: number): string {
  return bytes < 1_000_000
    ? `${Math.ceil(bytes / 1000)} kB`
    : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
