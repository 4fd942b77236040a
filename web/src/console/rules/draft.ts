// A text that was changed and not applied yet, kept by this tab so that no click loses it.

export interface Draft {
  /** The version that it was made from. */
  base: number;
  text: string;
}

const keyOf = (slug: string): string => `portcall.console.rules.${slug}`;

export function readDraft(slug: string): Draft | null {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(keyOf(slug)) ?? "null");
    if (typeof kept !== "object" || kept === null) return null;
    if (!("base" in kept) || !("text" in kept)) return null;
    const { base, text } = kept;
    return typeof base === "number" && typeof text === "string" ? { base, text } : null;
  } catch {
    return null;
  }
}

export function keepDraft(slug: string, draft: Draft | null): void {
  try {
    if (draft === null) sessionStorage.removeItem(keyOf(slug));
    else sessionStorage.setItem(keyOf(slug), JSON.stringify(draft));
  } catch {
    // Full or blocked: then it lives as long as the page.
  }
}
