// What the browser keeps about submissions: the secret that withdraws one, and the key of a POST.

const SECRET = "portcall.secret.";

/** Storage may be full or forbidden; then the secret is simply not kept. */
export function keepSecret(id: string, secret: string): void {
  try {
    localStorage.setItem(SECRET + id, secret);
  } catch {
    // Nothing to do: the submission itself is safe.
  }
}

export function keptSecret(id: string): string | null {
  try {
    return localStorage.getItem(SECRET + id);
  } catch {
    return null;
  }
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
