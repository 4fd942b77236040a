// Which view an address shows. History only: every address can be reloaded and shared, back works.
import { useEffect, useState } from "preact/hooks";

export type Route =
  | { view: "home" }
  | { view: "event"; slug: string }
  | { view: "submit"; slug: string }
  | { view: "submission"; id: string }
  | { view: "missing" };

const SLUG = /^[a-z0-9-]{1,64}$/;

export function parsePath(pathname: string): Route {
  const parts = pathname.split("/").filter((part) => part !== "");
  const [head, name, tail] = parts;
  if (head === undefined) return { view: "home" };
  if (name === undefined || parts.length > 3) return { view: "missing" };
  if (head === "submissions" && parts.length === 2) return { view: "submission", id: name };
  if (head === "events" && SLUG.test(name)) {
    if (tail === undefined) return { view: "event", slug: name };
    if (tail === "submit") return { view: "submit", slug: name };
  }
  return { view: "missing" };
}

const changed = new EventTarget();

export function navigate(to: string): void {
  history.pushState(null, "", to);
  changed.dispatchEvent(new Event("change"));
  globalThis.scrollTo?.(0, 0);
}

/** The current path; the hash belongs to the map and does not change the route. */
export function usePath(): string {
  const [path, setPath] = useState(location.pathname);
  useEffect(() => {
    const read = (): void => setPath(location.pathname);
    changed.addEventListener("change", read);
    globalThis.addEventListener("popstate", read);
    return () => {
      changed.removeEventListener("change", read);
      globalThis.removeEventListener("popstate", read);
    };
  }, []);
  return path;
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
