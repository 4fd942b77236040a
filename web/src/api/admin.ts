// What organisers ask of the API, each time with their token: never in an address, never in a cookie.
import { BASE, send } from "./client";
import { ProblemError } from "./problem";
import type * as Api from "./schema";
import type { Sent, Stats, Submission } from "./types";

/** Whose a token is: an `organiser` of one event, or an `operator`, who has none of their own. */
export type Me = Sent<Api.MeView>;
export type Door = Sent<Api.DoorView>;
export type StepTimes = Stats["step_times"][number];

export type Found = Sent<Api.FoundView>;
export type FoundPage = Sent<Api.FoundPageView>;
export type AuditLine = Omit<Sent<Api.AuditView>, "detail"> & { detail: unknown };
export interface AuditPage {
  items: AuditLine[];
  next: string | null;
}

/** A submission as organisers see it, whole. */
export type Whole = Submission &
  Omit<Sent<Api.AdminSubmissionView>, keyof Submission | "audit"> & { audit: AuditLine[] };

export type RegradeState = Api.RegradeStateWord;
export type RegradeHead = Sent<Api.RegradeHead>;
export type Change = Api.ChangeWord;
export type Side = Sent<Api.SideView>;
export type RegradeRow = Sent<Api.RowView>;
export type Regrade = Sent<Api.RegradeView>;
export type RegradePage = Sent<Api.RegradesView>;

export type Rules = Api.RulesView;
export type Version = Api.VersionView;
export type Applied = Api.AppliedView;
export type Webhook = Sent<Api.WebhookView>;
export type NewWebhook = Webhook & { secret: string };
export type Delivery = Sent<Api.DeliveryView>;
export type DeliveryPage = Sent<Api.DeliveriesView>;

/** The numbers of an event within a span of time. */
export type Bucket = Sent<Api.BucketView>;
export type History = Sent<Api.HistoryView>;

export type Fleet = Sent<Api.FleetView>;
export type WorkerInfo = Fleet["workers"][number];
/** A machine as one of its workers sees it; two workers may share one. */
export type NodeInfo = Fleet["nodes"][number];

/** Images that machines went down under. */
export type Suspects = Sent<Api.SuspectsView>;
export type Suspect = Suspects["images"][number];
export type Loss = Suspect["losses"][number];
export type SuspectOrder = Suspect["orders"][number];
export type LosingMachine = Suspects["machines"][number];

/** What operators can say of an image. */
export const JUDGEMENTS = ["cleared", "quarantined", "poison"] as const;
export type Judgement = (typeof JUDGEMENTS)[number];

export type Act = "hide" | "unhide" | "cancel" | "requeue" | "erase";
export type Order = "apply" | "undo" | "discard";

/** Which submissions: by name, or by how they ended. */
export type RegradeSet = (
  | { submissions: string[] }
  | { where: { states: string[]; reasons: string[] } }
) & { note?: string };

/** What a webhook can be told of. */
export const TOPICS = ["verdict", "cancelled", "regrade"] as const;
export type Topic = (typeof TOPICS)[number];

type Query = Record<string, string | null | undefined>;

/** `?a=1&b=2`, without what is empty. */
export function queryOf(values: Query): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

const part = encodeURIComponent;
const ofEvent = (slug: string): string => `/admin/events/${part(slug)}`;

/** Calls with one token. When the API does not know the token any more, `onRefused` is told. */
export class Admin {
  private readonly token: string;
  private readonly onRefused: () => void;

  constructor(token: string, onRefused: () => void) {
    this.token = token;
    this.onRefused = onRefused;
  }

  /** An answer as it comes, for what is too large to be held twice. */
  async raw(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${this.token}`);
    try {
      return await send(BASE + path, {
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        ...init,
        headers,
      });
    } catch (error) {
      if (error instanceof ProblemError && error.problem.status === 401) this.onRefused();
      throw error;
    }
  }

  private async get<T>(path: string, signal?: AbortSignal): Promise<T> {
    const headers = { accept: "application/json" };
    const response = await this.raw(path, { headers, signal: signal ?? null });
    return (await response.json()) as T;
  }

  private async send<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { accept: "application/json" };
    const init: RequestInit = { method, headers };
    if (body !== undefined) {
      headers["content-type"] = "application/json";
      init.body = JSON.stringify(body);
    }
    const response = await this.raw(path, init);
    return (response.status === 204 ? null : await response.json()) as T;
  }

  me(signal?: AbortSignal): Promise<Me> {
    return this.get("/admin/me", signal);
  }

  fleet(signal?: AbortSignal): Promise<Fleet> {
    return this.get("/admin/fleet", signal);
  }

  history(slug: string, stepS: number, buckets: number, signal?: AbortSignal): Promise<History> {
    const query = queryOf({ step_s: String(stepS), buckets: String(buckets) });
    return this.get(`${ofEvent(slug)}/history${query}`, signal);
  }

  turnDoor(slug: string, turn: "close" | "reopen", note: string): Promise<Door> {
    return this.send("POST", `${ofEvent(slug)}/${turn}`, noted(note));
  }

  search(slug: string, query: Query, signal?: AbortSignal): Promise<FoundPage> {
    return this.get(`${ofEvent(slug)}/submissions${queryOf(query)}`, signal);
  }

  submission(id: string, signal?: AbortSignal): Promise<Whole> {
    return this.get(`/admin/submissions/${part(id)}`, signal);
  }

  /** Does something to a submission; the answer to an erasure has no body. */
  act(id: string, act: Act, note: string): Promise<Whole | null> {
    return this.send("POST", `/admin/submissions/${part(id)}/${act}`, noted(note));
  }

  audit(slug: string, before: string | null, signal?: AbortSignal): Promise<AuditPage> {
    return this.get(`${ofEvent(slug)}/audit${queryOf({ before })}`, signal);
  }

  regrades(slug: string, before: string | null, signal?: AbortSignal): Promise<RegradePage> {
    return this.get(`${ofEvent(slug)}/regrades${queryOf({ before })}`, signal);
  }

  regrade(id: string, after: string | null, signal?: AbortSignal): Promise<Regrade> {
    return this.get(`/admin/regrades/${part(id)}${queryOf({ after })}`, signal);
  }

  newRegrade(slug: string, set: RegradeSet): Promise<RegradeHead> {
    return this.send("POST", `${ofEvent(slug)}/regrades`, set);
  }

  order(id: string, order: Order): Promise<Regrade> {
    return this.send("POST", `/admin/regrades/${part(id)}/${order}`);
  }

  rules(slug: string, version: number | null, signal?: AbortSignal): Promise<Rules> {
    const query = queryOf({ version: version === null ? null : String(version) });
    return this.get(`${ofEvent(slug)}/rules${query}`, signal);
  }

  versions(slug: string, signal?: AbortSignal): Promise<{ items: Version[] }> {
    return this.get(`${ofEvent(slug)}/rules/versions`, signal);
  }

  putRules(slug: string, source: string, how: "check" | "apply"): Promise<Applied> {
    const query = how === "check" ? "?dry_run=true" : "";
    return this.send("PUT", `${ofEvent(slug)}/rules${query}`, { source });
  }

  suspects(signal?: AbortSignal): Promise<Suspects> {
    return this.get("/admin/suspects", signal);
  }

  /** Says what an image is; that is noted in the audit log of the event. */
  judge(slug: string, digest: string, standing: Judgement, note: string): Promise<Suspect> {
    const body = { standing, event: slug, ...noted(note) };
    return this.send("POST", `/admin/suspects/${part(digest)}`, body);
  }

  webhooks(slug: string, signal?: AbortSignal): Promise<{ webhooks: Webhook[] }> {
    return this.get(`${ofEvent(slug)}/webhooks`, signal);
  }

  newWebhook(slug: string, url: string, on: string[]): Promise<NewWebhook> {
    return this.send("POST", `${ofEvent(slug)}/webhooks`, { url, on });
  }

  deleteWebhook(id: string): Promise<null> {
    return this.send("DELETE", `/admin/webhooks/${part(id)}`);
  }

  ping(id: string): Promise<{ delivery: string }> {
    return this.send("POST", `/admin/webhooks/${part(id)}/ping`);
  }

  deliveries(id: string, before: string | null, signal?: AbortSignal): Promise<DeliveryPage> {
    return this.get(`/admin/webhooks/${part(id)}/deliveries${queryOf({ before })}`, signal);
  }

  exportAll(slug: string, query: Query, signal: AbortSignal): Promise<Response> {
    return this.raw(`${ofEvent(slug)}/export${queryOf(query)}`, { signal });
  }
}

/** A note is left out when there is none: an empty one is refused. */
function noted(note: string): { note?: string } {
  const said = note.trim();
  return said === "" ? {} : { note: said };
}
