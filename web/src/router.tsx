// Which view an address shows. History only: every address can be reloaded and shared, back works.
import { useEffect, useState } from "preact/hooks";

export type Route =
  | { view: "home" }
  | { view: "event"; slug: string }
  | { view: "submit"; slug: string }
  | { view: "board"; slug: string }
  | { view: "submission"; id: string }
  | { view: "console"; slug: string | null; section: ConsoleSection; id: string | null }
  | { view: "missing" };

export const CONSOLE_SECTIONS = [
  "overview",
  "submissions",
  "regrades",
  "rules",
  "suspects",
  "audit",
  "webhooks",
] as const;
export type ConsoleSection = (typeof CONSOLE_SECTIONS)[number];
/** Lists of things that have an address each. */
export const SECTIONS_OF_SINGLES: ConsoleSection[] = ["submissions", "regrades", "suspects"];

const SLUG = /^[a-z0-9-]{1,64}$/;

export function parsePath(pathname: string): Route {
  const parts = pathname.split("/").filter((part) => part !== "");
  const [head, name, tail] = parts;
  if (head === undefined) return { view: "home" };
  if (head === "console") return parseConsole(parts);
  if (name === undefined || parts.length > 3) return { view: "missing" };
  if (head === "submissions" && parts.length === 2) return { view: "submission", id: name };
  if (head === "events" && SLUG.test(name)) {
    if (tail === undefined) return { view: "event", slug: name };
    if (tail === "submit") return { view: "submit", slug: name };
    if (tail === "board") return { view: "board", slug: name };
  }
  return { view: "missing" };
}

/** `/console`, `/console/{slug}`, `/console/{slug}/{section}`, and one thing of the lists. */
function parseConsole(parts: string[]): Route {
  const [, slug, word, id, beyond] = parts;
  if (slug === undefined) return { view: "console", slug: null, section: "overview", id: null };
  const section = word === undefined ? "overview" : CONSOLE_SECTIONS.find((one) => one === word);
  const single = section !== undefined && SECTIONS_OF_SINGLES.includes(section);
  const known = section !== undefined && word !== "overview" && (id === undefined || single);
  if (!SLUG.test(slug) || !known || beyond !== undefined) return { view: "missing" };
  return { view: "console", slug, section, id: id ?? null };
}

const changed = new EventTarget();

export function navigate(to: string, how: "push" | "replace" = "push"): void {
  if (how === "push") history.pushState(null, "", to);
  else history.replaceState(null, "", to);
  changed.dispatchEvent(new Event("change"));
  globalThis.scrollTo?.(0, 0);
}

/** Writes another query into the address; the view stays. A step back leads to a pushed one. */
export function setSearch(search: string, how: "push" | "replace"): void {
  if (search === location.search) return;
  const to = location.pathname + search;
  if (how === "push") history.pushState(null, "", to);
  else history.replaceState(null, "", to);
  changed.dispatchEvent(new Event("change"));
}

/** The current query, such as `?state=failed`. */
export function useSearch(): string {
  return useAddressPart(() => location.search);
}

/** The current path; the hash belongs to the map and does not change the route. */
export function usePath(): string {
  return useAddressPart(() => location.pathname);
}

function useAddressPart(part: () => string): string {
  const [value, setValue] = useState(part);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `part` reads the address, never a prop
  useEffect(() => {
    const read = (): void => setValue(part());
    // The address may have changed between the first drawing and now.
    read();
    changed.addEventListener("change", read);
    globalThis.addEventListener("popstate", read);
    return () => {
      changed.removeEventListener("change", read);
      globalThis.removeEventListener("popstate", read);
    };
  }, []);
  return value;
}

/** Plain clicks on links of this page stay in this page. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
  const to = new URL(link.href, location.href);
  if (to.origin !== location.origin || parsePath(to.pathname).view === "missing") return;
  if (to.pathname === location.pathname && to.search === location.search && to.hash) return;
  event.preventDefault();
  navigate(to.pathname + to.search + to.hash);
}
