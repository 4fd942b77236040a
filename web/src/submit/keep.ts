// What the browser keeps about submissions: the secret that withdraws one, and the key of a POST.

const SECRET = "portcall.secret.";

/** Storage may be full or forbidden; then the secret is not kept, and people are told. */
export function keepSecret(id: string, secret: string): "kept" | "not kept" {
  try {
    localStorage.setItem(SECRET + id, secret);
    return "kept";
  } catch {
    return "not kept";
  }
}

export function keptSecret(id: string): string | null {
  try {
    return localStorage.getItem(SECRET + id);
  } catch {
    return null;
  }
}

export function forgetSecret(id: string): void {
  try {
    localStorage.removeItem(SECRET + id);
  } catch {
    // What cannot be read cannot be told either.
  }
}

/** What came with the answer to a submission that was sent from this very page. */
export interface Fresh {
  id: string;
  /** Null where an earlier request had been taken in already: its answer had the secret. */
  secret: string | null;
  storage: "kept" | "not kept";
}

// Held in memory alone: after a reload it is not fresh any more.
let fresh: Fresh | null = null;

export function tellFresh(id: string, secret: string | null): void {
  fresh = { id, secret, storage: secret === null ? "not kept" : keepSecret(id, secret) };
}

export function freshSecret(id: string): Fresh | null {
  return fresh?.id === id ? fresh : null;
}

/** It was seen and put away. */
export function settleFresh(id: string): void {
  if (fresh?.id === id) fresh = null;
}

/** A random UUID; browsers offer `randomUUID` on HTTPS and localhost only. */
export function newKey(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32],
  ]
    .map(([from, to]) => hex.slice(from, to))
    .join("-");
}
