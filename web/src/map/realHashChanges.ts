// For tests: happy-dom says "hashchange", some time later, for what history.replaceState wrote as well.
// Browsers do not (HTML, 7.4.4: URL and history update steps).

function stop(event: Event): void {
  if (event instanceof HashChangeEvent) event.stopImmediatePropagation();
}

/** Lets through only what a test dispatches itself, as a plain `Event`; the answer undoes it. */
export function realHashChanges(): () => void {
  globalThis.addEventListener("hashchange", stop, { capture: true });
  return () => globalThis.removeEventListener("hashchange", stop, { capture: true });
}
