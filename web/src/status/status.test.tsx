// The status page in use, against a stand-in for the server and its stream.
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Submission } from "../api/types";
import { viewSnapshot } from "../snapshots/read";
import { StatusView } from "../status";
import { keepSecret, keptSecret, settleFresh, tellFresh } from "../submit/keep";

const QUEUED = viewSnapshot("a_submission_that_was_just_accepted") as Submission;
const FAILED = viewSnapshot("a_submission_that_failed") as Submission;
const { id } = QUEUED;

class Stream {
  static all: Stream[] = [];
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;
  private readonly handlers = new Map<string, (event: MessageEvent<string>) => void>();

  constructor(readonly url: string) {
    Stream.all.push(this);
  }
  addEventListener(name: string, handler: (event: MessageEvent<string>) => void): void {
    this.handlers.set(name, handler);
  }
  close(): void {
    this.closed = true;
  }
  tell(submission: Submission): void {
    this.onopen?.();
    const data = JSON.stringify(submission);
    this.handlers.get("submission")?.(new MessageEvent("submission", { data }));
  }
}

interface Deletion {
  query: string;
  secret: string | null;
}

let document_: Submission | "nobody";
let deletions: Deletion[];
let deletion: number;
let asked: number;
let root: HTMLElement;

async function server(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const url = new URL(String(input), "http://portcall.test");
  if (init?.method === "DELETE") {
    deletions.push({ query: url.search, secret: new Headers(init.headers).get("authorization") });
    const problem = { code: "secret_wrong", detail: "It is not the secret.", errors: [] };
    const body = deletion === 204 ? null : JSON.stringify(problem);
    return new Response(body, { status: deletion });
  }
  asked += 1;
  if (document_ === "nobody") throw new TypeError("Failed to fetch");
  return new Response(JSON.stringify(document_), { status: 200 });
}

const settle = (ms = 0): Promise<void> =>
  act(async () => {
    await vi.advanceTimersByTimeAsync(ms);
  }) as Promise<void>;
const find = (test: string): HTMLElement | null => root.querySelector(`[data-testid="${test}"]`);
const said = (test: string): string => (find(test)?.textContent ?? "").replace(/[ \n]+/g, " ");
const state = (): string | undefined => find("submission-state")?.dataset.state;
const later = (submission: Submission, more: Partial<Submission>): Submission => ({
  ...submission,
  updated_at: "2026-03-20T12:00:05.000Z",
  ...more,
});
const tell = (submission: Submission): Promise<void> =>
  act(() => Stream.all.at(-1)?.tell(submission)) as Promise<void>;
const click = async (test: string): Promise<void> => {
  await act(() => find(test)?.click());
  await settle(100);
  await settle(100);
};

async function open(submission: Submission | "nobody"): Promise<void> {
  document_ = submission;
  await act(() => render(<StatusView id={id} />, root));
  await settle(200);
}

// What is taken down tidies up after the next frame.
const close = (): Promise<void> => act(() => render(null, root)) as Promise<void>;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", server);
  vi.stubGlobal("EventSource", Stream);
  localStorage.clear();
  settleFresh(id);
  Stream.all = [];
  deletions = [];
  deletion = 204;
  asked = 0;
  root = document.createElement("div");
  document.body.append(root);
});

afterEach(async () => {
  await close();
  root.remove();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("while there is no verdict", () => {
  it("place and estimate change as the stream tells", async () => {
    await open(QUEUED);
    expect(said("queue")).toBe("You are 3rd in the queue; it usually takes 12 to 40\u00a0s.");
    expect(said("deadline")).toContain("it ends undecided");
    await tell({ ...QUEUED, queue: { position: 1, eta: { p50_s: 4, p90_s: 9 } } });
    expect(said("queue")).toBe("You are next; it usually takes 4 to 9\u00a0s.");
    await tell(later(QUEUED, { state: "grading", step: "pulling", queue: null }));
    expect(state()).toBe("grading");
    expect(said("deadline")).toContain("another one follows");
  });

  it("a delay is said with its reason and the next try", async () => {
    const delayed = {
      reason: "registry_rate_limited",
      detail: "docker.io answered 429",
      next_try: "2026-03-20T12:05:00Z",
    };
    await open({ ...QUEUED, queue: null, delayed });
    expect(said("delayed")).toMatch(/next try at \d\d:05:00/);
    expect(said("delayed")).toContain("docker.io answered 429.");
    expect(said("delayed")).toContain("Nothing is counted against you");
  });

  it("comes back by itself where the first look found nobody", async () => {
    await open("nobody");
    expect(root.textContent).toContain("No connection");
    document_ = QUEUED;
    await settle(5_100);
    expect(state()).toBe("queued");
  });

  it("asks while no stream can be held, and says when nobody answers", async () => {
    await open(QUEUED);
    for (let n = 0; n < 3; n += 1) {
      await act(() => Stream.all.at(-1)?.onerror?.());
      await settle(2_500);
    }
    const before = asked;
    await settle(5_000);
    expect(asked).toBeGreaterThan(before);
    document_ = "nobody";
    await settle(2_500);
    expect(said("offline")).toContain("No connection");
    document_ = FAILED;
    await settle(2_500);
    expect(find("offline")).toBeNull();
    expect(state()).toBe("failed");
  });
});

describe("after the verdict", () => {
  it("the stream is let go, and the page looks again now and then", async () => {
    await open(QUEUED);
    await tell(later(FAILED, {}));
    expect(state()).toBe("failed");
    expect(Stream.all.every((stream) => stream.closed)).toBe(true);
    const before = asked;
    const updated_at = "2026-03-20T12:00:09.000Z";
    document_ = { ...FAILED, updated_at, state: "queued", verdict: null, queue: QUEUED.queue };
    await settle(61_000);
    expect(asked).toBe(before + 1);
    expect(state()).toBe("queued");
    expect(Stream.all.at(-1)?.closed).toBe(false);
  });

  it("a re-grade is told, with what it was before", async () => {
    const [first] = FAILED.attempts;
    if (first === undefined || FAILED.verdict === null) throw new Error("no attempt");
    const second = { ...first, n: 2, outcome: "passed", reason: null } as const;
    const verdict = { ...FAILED.verdict, outcome: "passed", attempt: 2, reason: null } as const;
    await open({ ...FAILED, state: "passed", attempts: [first, second], verdict });
    expect(said("regraded")).toContain("Attempt 1 before it did not pass");
    expect(find("regraded")?.dataset.kind).toBe("anew");
    expect(said("attempts")).toContain("rule_failed:config");
    await close();
    await open({ ...FAILED, attempts: [first, second] });
    expect(find("regraded")?.dataset.kind).toBe("undone");
    await close();
    await open(FAILED);
    expect(find("regraded")).toBeNull();
  });

  it("of one that was erased nothing is made up", async () => {
    const erased = structuredClone(FAILED);
    erased.participant = { name: "(erased)", handle: null };
    erased.place = { label: "(erased)", lat: null, lng: null, country: null };
    for (const image of erased.images) image.ref = "erased.invalid/erased";
    erased.erased_at = erased.updated_at;
    await open(erased);
    expect(find("erased")).not.toBeNull();
    expect(root.textContent).not.toMatch(/\(erased\)|erased\.invalid/);
    expect(find("withdraw")).toBeNull();
    expect(find("try-again")?.getAttribute("href")).toBe("/events/birthday-3/submit");
    expect(document.title).toBe("Failed · Portcall");
  });
});

describe("while the database is away", () => {
  it("what is remembered is shown, and as of when it is", async () => {
    await open({ ...QUEUED, queue: null, as_of: "2026-03-20T12:04:00.000Z" });
    expect(said("away")).toMatch(/does not answer; shown as of .*04/);
    await tell(later(QUEUED, {}));
    expect(find("away")).toBeNull();
  });
});

describe("the pin", () => {
  const passed = { ...FAILED, state: "passed", on_map: true } as const;
  const verdict = { ...passed.verdict, outcome: "passed", reason: null } as Submission["verdict"];

  it("is linked to where it stands", async () => {
    await open({ ...passed, verdict });
    expect(find("map-link")).not.toBeNull();
    expect(find("hidden")).toBeNull();
  });

  it("that organisers took off the map is not, and that is said", async () => {
    await open({ ...passed, verdict, on_map: false, hidden: true });
    expect(find("map-link")).toBeNull();
    expect(said("hidden")).toContain("off the map");
  });
});

describe("the secret", () => {
  it("is shown right after submitting, and only then", async () => {
    tellFresh(id, "s3cr3t");
    await open(QUEUED);
    expect(said("secret-once")).toContain("s3cr3t");
    expect(said("secret-once")).toContain("This browser keeps it");
    await close();
    await open(QUEUED);
    expect(find("secret-once")).toBeNull();
    expect(keptSecret(id)).toBe("s3cr3t");
  });

  it("is said to be lost where the answer that had it was", async () => {
    tellFresh(id, null);
    await open(QUEUED);
    expect(said("secret-lost")).toContain("organisers can do it");
  });

  it("cancels what is not graded yet", async () => {
    keepSecret(id, "s3cr3t");
    await open(QUEUED);
    await click("withdraw");
    expect(said("withdraw-dialog")).toContain("Cancel this submission?");
    document_ = later(QUEUED, { state: "cancelled", queue: null });
    await click("withdraw-confirm");
    expect(deletions).toEqual([{ query: "?erase=false", secret: "Bearer s3cr3t" }]);
    expect(state()).toBe("cancelled");
    expect(find("withdraw-dialog")).toBeNull();
  });

  it("erases what has a verdict; typed where it is not kept, and refused where it is wrong", async () => {
    await open(FAILED);
    deletion = 403;
    await click("withdraw");
    const field = find("withdraw-secret") as HTMLInputElement;
    await act(() => {
      field.value = " typed ";
      field.dispatchEvent(new Event("input", { bubbles: true }));
    });
    await click("withdraw-confirm");
    expect(said("withdraw-error")).toBe("It is not the secret.");
    expect(keptSecret(id)).toBeNull();
    deletion = 204;
    await click("withdraw-confirm");
    expect(deletions.at(-1)).toEqual({ query: "?erase=true", secret: "Bearer typed" });
    expect(find("withdraw-dialog")).toBeNull();
  });
});
