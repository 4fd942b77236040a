// What a view shows while it loads, when there is nothing, and when something went wrong.
import type { ComponentChildren, VNode } from "preact";
import { OfflineError, ProblemError } from "../api/problem";
import { clock } from "./time";

export function Loading({ what }: { what: string }): VNode {
  return (
    <div class="notice" role="status" data-testid="loading">
      <span class="spinner" aria-hidden="true" />
      <h1>Loading {what} …</h1>
    </div>
  );
}

interface NoticeProps {
  title: string;
  children?: ComponentChildren;
}

export function Notice({ title, children }: NoticeProps): VNode {
  return (
    <div class="notice" data-testid="notice">
      <h1>{title}</h1>
      {children}
    </div>
  );
}

interface FailedProps {
  what: string;
  error: Error;
  onRetry: () => void;
}

/** A load that failed: not found, out of reach, or a problem in the server's own words. */
export function Failed({ what, error, onRetry }: FailedProps): VNode {
  const missing = error instanceof ProblemError && error.problem.status === 404;
  if (missing) {
    return (
      <Notice title={`There is no such ${what}`}>
        <p>The address may be mistyped, or it was removed.</p>
        <p>
          <a class="button" href="/">
            To the map
          </a>
        </p>
      </Notice>
    );
  }
  const offline = error instanceof OfflineError;
  return (
    <Notice title={offline ? "No connection" : `The ${what} could not be loaded`}>
      <p>{error.message}</p>
      <p>
        <button type="button" class="button" onClick={onRetry}>
          Try again
        </button>
      </p>
    </Notice>
  );
}

/** What is shown while the server answers from memory. */
export function awayWords(as_of: string): string {
  return `The database does not answer; shown as of ${clock(new Date(as_of))}.`;
}

/** A strip that says so, where that is so. */
export function AwayStrip({ as_of }: { as_of: string | null | undefined }): VNode | null {
  if (as_of === null || as_of === undefined) return null;
  return (
    <p class="strip" role="status" data-testid="away">
      {awayWords(as_of)}
    </p>
  );
}

/** A strip that says that what is shown may be old. */
export function OfflineStrip({ text }: { text: string }): VNode {
  return (
    <p class="strip" role="status" data-testid="offline">
      {text}
    </p>
  );
}
