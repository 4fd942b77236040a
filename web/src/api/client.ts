// The one place that calls the API: typed answers out, problems and outages as two kinds of error.
import { OfflineError, ProblemError, problemFrom } from "./problem";
import type {
  Accepted,
  Bbox,
  EventDetail,
  EventSummary,
  NewSubmission,
  Pins,
  Place,
  Stats,
  Submission,
} from "./types";

const BASE = "/api/v1";

async function send(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
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

export async function findPlaces(query: string, signal?: AbortSignal): Promise<Place[]> {
  const path = `${BASE}/places?q=${encodeURIComponent(query)}`;
  return (await get<{ places: Place[] }>(path, signal)).places;
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

export async function postSubmission(
  slug: string,
  body: NewSubmission,
  key: string,
): Promise<Accepted> {
  const response = await send(paths.submissions(slug), {
    method: "POST",
    headers: {
      accept: "application/json",
      "content-type": "application/json",
      "idempotency-key": key,
    },
    body: JSON.stringify(body),
  });
  return (await response.json()) as Accepted;
}
