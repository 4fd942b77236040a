// The token of whoever is signed in: kept by this tab alone, or by this browser if they choose so.
import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import type { Admin, Me } from "../api/admin";

const KEY = "portcall.console.token";

/** For how long the token is kept. */
export type Keeping = "tab" | "browser";

export interface Session {
  token: string | null;
  /** Why somebody who was signed in no longer is. */
  ended: string | null;
}

const changed = new EventTarget();
let session: Session | null = null;

/** A store that the browser may refuse to give. */
function stores(): Storage[] {
  const found: Storage[] = [];
  for (const name of ["sessionStorage", "localStorage"] as const) {
    try {
      found.push(globalThis[name]);
    } catch {
      // Blocked by the browser's settings: then the token lives as long as the page.
    }
  }
  return found;
}

function kept(): string | null {
  for (const store of stores()) {
    const token = store.getItem(KEY);
    if (token !== null && token !== "") return token;
  }
  return null;
}

export function currentSession(): Session {
  session ??= { token: kept(), ended: null };
  return session;
}

function change(next: Session): void {
  session = next;
  changed.dispatchEvent(new Event("change"));
}

export function signIn(token: string, keeping: Keeping): void {
  const [tab, browser] = [stores()[0], stores()[1]];
  try {
    browser?.removeItem(KEY);
    (keeping === "browser" ? browser : tab)?.setItem(KEY, token);
  } catch {
    // Full or blocked: it lives as long as the page.
  }
  change({ token, ended: null });
}

/** Forgets the token everywhere. A token that was refused says so; one given up does not. */
export function signOut(ended: string | null): void {
  if (currentSession().token === null) return;
  for (const store of stores()) store.removeItem(KEY);
  change({ token: null, ended });
}

/** Forgets what is held in memory, as a reload does. For tests. */
export function forget(): void {
  session = null;
}

export function useSession(): Session {
  const [value, setValue] = useState(currentSession);
  useEffect(() => {
    const read = (): void => setValue(currentSession());
    // Whoever signs out in one tab is signed out in all that shared the token.
    const elsewhere = (event: StorageEvent): void => {
      if (event.key === KEY && event.newValue === null && event.storageArea === stores()[1]) {
        signOut("You signed out in another tab.");
      }
    };
    read();
    changed.addEventListener("change", read);
    globalThis.addEventListener("storage", elsewhere);
    return () => {
      changed.removeEventListener("change", read);
      globalThis.removeEventListener("storage", elsewhere);
    };
  }, []);
  return value;
}

/** Who is signed in, with their calls. */
export interface Organiser {
  admin: Admin;
  me: Me;
}

export const OrganiserContext = createContext<Organiser | null>(null);

/** Within the console's frame somebody is always signed in. */
export function useOrganiser(): Organiser {
  const organiser = useContext(OrganiserContext);
  if (organiser === null) throw new Error("nobody is signed in here");
  return organiser;
}
