// A part of a section with its title, what can be done there, and its three states.
import type { ComponentChildren, VNode } from "preact";
import { OldNews, Trouble } from "./Trouble";
import type { Polled } from "./usePolled";

interface PanelProps {
  title: string;
  id: string;
  testid?: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
}

export function Panel({ title, id, testid, aside, children }: PanelProps): VNode {
  return (
    <section class="panel-box" aria-labelledby={`${id}-title`} data-testid={testid}>
      <div class="panel-head">
        <h2 id={`${id}-title`}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

interface PolledProps<T> {
  polled: Polled<T>;
  what: string;
  children: (value: T) => ComponentChildren;
}

/** Loading, trouble, or what was answered; with a word above it when it may be old. */
export function Shown<T>({ polled, what, children }: PolledProps<T>): VNode {
  const { value, error, refresh } = polled;
  if (value === null && error !== null) {
    return <Trouble what={what} error={error} onRetry={refresh} />;
  }
  if (value === null) {
    return (
      <p class="wait" role="status" data-testid="loading">
        <span class="spinner" aria-hidden="true" />
        <span>Loading {what} …</span>
      </p>
    );
  }
  return (
    <>
      <OldNews error={error} />
      {children(value)}
    </>
  );
}
