// What a part of the console shows when its question was not answered, each kind in its own words.
import type { VNode } from "preact";
import { OfflineError, ProblemError } from "../api/problem";

export type TroubleKind = "offline" | "forbidden" | "missing" | "busy" | "other";

export function kindOf(error: Error): TroubleKind {
  if (error instanceof OfflineError) return "offline";
  if (!(error instanceof ProblemError)) return "other";
  const { status } = error.problem;
  if (status === 403) return "forbidden";
  if (status === 404) return "missing";
  return status === 429 || status === 503 ? "busy" : "other";
}

const TITLES: Record<TroubleKind, (what: string) => string> = {
  offline: () => "No connection",
  forbidden: () => "Your token does not extend to this",
  missing: (what) => `There is no such ${what}`,
  busy: () => "The server asks for patience",
  other: (what) => `The ${what} could not be loaded`,
};

interface Props {
  what: string;
  error: Error;
  onRetry: () => void;
}

/** In place of a part that has nothing to show. */
export function Trouble({ what, error, onRetry }: Props): VNode {
  const kind = kindOf(error);
  const lasting = kind === "forbidden" || kind === "missing";
  return (
    <div class="trouble" role="alert" data-testid="trouble" data-kind={kind}>
      <h2>{TITLES[kind](what)}</h2>
      <p>{error.message}</p>
      {lasting ? (
        <a class="button" href="/console">
          To the console
        </a>
      ) : (
        <button type="button" class="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Above a part that still shows what was true a while ago. */
export function OldNews({ error }: { error: Error | null }): VNode | null {
  if (error === null) return null;
  const offline = error instanceof OfflineError;
  return (
    <p class="strip" role="status" data-testid="offline">
      {offline
        ? "No connection. What you see may be old; it goes on by itself as soon as there is one."
        : `What you see may be old. ${error.message}`}
    </p>
  );
}

/** An act that was not done, beside what asked for it. */
export function NotDone({ error }: { error: Error | null }): VNode | null {
  if (error === null) return null;
  const details =
    error instanceof ProblemError && error.problem.errors.length > 1
      ? error.problem.errors.map((one) => one.detail)
      : [];
  return (
    <div class="not-done" role="alert" data-testid="not-done">
      <p>{error.message}</p>
      {details.length > 0 && (
        <ul>
          {details.map((detail) => (
            <li key={detail}>{detail}</li>
          ))}
        </ul>
      )}
    </div>
  );
}
