// The one place that calls the API: typed answers out, problems and outages as two kinds of error.
import { OfflineError, ProblemError, problemFrom } from "./problem";
import type {
  Accepted,
  Bbox,
  EventDetail,
  EventSummary,
  ImageCheck,
  NewSubmission,
  Pin,
  Pins,
  Place,
  Replay,
  Stats,
  Submission,
} from "./types";

export const BASE = "/api/v1";

export async function send(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch (cause) {
    // Running out of time is an outage; being called off is not.
    if (init.signal?.aborted && nameOf(init.signal.reason) !== "TimeoutError") throw cause;
    throw new OfflineError(cause);
  }
  if (response.ok || response.status === 304) return response;
  const body: unknown = await response.json().catch(() => null);
  const retryAfter = Number(response.headers.get("retry-after"));
  throw new ProblemError(
    problemFrom(response.status, body),
    Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : null,
  );
}

function nameOf(reason: unknown): string {
  return reason instanceof Error || reason instanceof DOMException ? reason.name : "";
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await send(path, {
    headers: { accept: "application/json" },
    signal: signal ?? null,
  });
  return (await response.json()) as T;
}

export const paths = {
  event: (slug: string) => `${BASE}/events/${encodeURIComponent(slug)}`,
  submissions: (slug: string) => `${BASE}/events/${encodeURIComponent(slug)}/submissions`,
  eventLive: (slug: string) => `${BASE}/events/${encodeURIComponent(slug)}/live`,
  submission: (id: string) => `${BASE}/submissions/${encodeURIComponent(id)}`,
  submissionLive: (id: string) => `${BASE}/submissions/${encodeURIComponent(id)}/live`,
};

export async function listEvents(signal?: AbortSignal): Promise<EventSummary[]> {
  return (await get<{ events: EventSummary[] }>(`${BASE}/events`, signal)).events;
}

export function getEvent(slug: string, signal?: AbortSignal): Promise<EventDetail> {
  return get(paths.event(slug), signal);
}

export function getStats(slug: string, signal?: AbortSignal): Promise<Stats> {
  return get(`${paths.event(slug)}/stats`, signal);
}

export function getPins(
  slug: string,
  bbox: Bbox,
  zoom: number,
  signal?: AbortSignal,
): Promise<Pins> {
  const box = bbox.map((side) => Number(side.toFixed(5))).join(",");
  return get(`${paths.event(slug)}/pins?bbox=${box}&zoom=${zoom}`, signal);
}

/** The latest successes, the newest first. */
export async function getRecent(slug: string, limit: number, signal?: AbortSignal): Promise<Pin[]> {
  return (await get<{ items: Pin[] }>(`${paths.event(slug)}/recent?limit=${limit}`, signal)).items;
}

/** The whole event in so many steps of equal length. */
export function getReplay(slug: string, steps: number, signal?: AbortSignal): Promise<Replay> {
  return get(`${paths.event(slug)}/replay?steps=${steps}`, signal);
}

export async function findPlaces(query: string, signal?: AbortSignal): Promise<Place[]> {
  const path = `${BASE}/places?q=${encodeURIComponent(query)}`;
  return (await get<{ places: Place[] }>(path, signal)).places;
}

/** What the event makes of an image's name; nothing is fetched for it. */
export function checkImage(slug: string, ref: string, signal?: AbortSignal): Promise<ImageCheck> {
  return get(`${paths.event(slug)}/images/check?ref=${encodeURIComponent(ref)}`, signal);
}

export interface Tagged {
  etag: string | null;
  submission: Submission;
}

/** Reads a submission unless it is still the one that `etag` names; then the answer is null. */
export async function getSubmission(
  id: string,
  etag: string | null,
  signal?: AbortSignal,
): Promise<Tagged | null> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (etag !== null) headers["if-none-match"] = etag;
  const response = await send(paths.submission(id), {
    headers,
    cache: "no-store",
    signal: signal ?? null,
  });
  if (response.status === 304) return null;
  return {
    etag: response.headers.get("etag"),
    submission: (await response.json()) as Submission,
  };
}

/** Longer than the api holds any request: whoever waits longer waits for a broken network. */
const SEND_MS = 30_000;

/** `same`: whether an earlier submission that is the same is shown, or graded again. */
export async function postSubmission(
  slug: string,
  body: NewSubmission,
  key: string,
  same: "show" | "again" = "show",
): Promise<Accepted> {
  const response = await send(paths.submissions(slug) + (same === "again" ? "?again=true" : ""), {
    method: "POST",
    signal: AbortSignal.timeout(SEND_MS),
    headers: {
      accept: "application/json",
      "content-type": "application/json",
      "idempotency-key": key,
    },
    body: JSON.stringify(body),
  });
  return (await response.json()) as Accepted;
}

/** Cancels what has not ended, or erases what is personal; for whoever has the secret. */
export async function takeBack(id: string, secret: string, how: "cancel" | "erase"): Promise<void> {
  await send(`${paths.submission(id)}?erase=${how === "erase"}`, {
    method: "DELETE",
    headers: { accept: "application/json", authorization: `Bearer ${secret}` },
    signal: AbortSignal.timeout(SEND_MS),
  });
}
