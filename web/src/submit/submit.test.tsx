// The form in use, against a stand-in for the server: what is sent, what is said, and what is kept.
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Accepted, EventDetail } from "../api/types";
import { viewSnapshot } from "../snapshots/read";
import { SubmitView } from "../submit";
import { freshSecret, keptSecret } from "./keep";

const EVENT: EventDetail = {
  ...(viewSnapshot("an_event_with_its_rules") as EventDetail),
  answers: [{ name: "vote", label: "Your vote", one_of: ["Cats", "Dogs"], max_length: null }],
};
const ACCEPTED = viewSnapshot("a_submission_that_was_just_accepted") as Accepted;

interface Post {
  key: string | null;
  query: string;
  body: { participant: Record<string, string>; images: string[] };
}
type Answer = { status: number; body: unknown; retryAfter?: string } | "nobody";

let posts: Post[];
let answers: Answer[];
let event: EventDetail;
let earlier: Accepted;
let root: HTMLElement;

const problem = (status: number, code: string, errors: unknown[] = []): Answer => ({
  status,
  body: { title: "T", status, code, detail: `What ${code} means.`, errors },
});
const accepted = (more: Partial<Accepted> = {}): Answer => ({
  status: more.note === undefined ? 202 : 200,
  body: { ...ACCEPTED, ...more },
});

function answer({ status, body, retryAfter }: Exclude<Answer, "nobody">): Response {
  const headers = retryAfter === undefined ? {} : { "retry-after": retryAfter };
  return new Response(JSON.stringify(body), { status, headers });
}

async function server(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const url = new URL(String(input), "http://portcall.test");
  if (url.pathname.endsWith("/places")) return answer({ status: 200, body: { places: [] } });
  if (url.pathname.endsWith("/images/check")) {
    const ref = url.searchParams.get("ref") ?? "";
    const bad = ref.includes(" ");
    const canonical = bad ? null : `docker.io/${ref}:latest`;
    const wrong = bad ? { code: "image_name_invalid", detail: "No spaces, please." } : null;
    return answer({ status: 200, body: { ref, canonical, problem: wrong } });
  }
  if (url.pathname.includes("/api/v1/submissions/")) return answer({ status: 200, body: earlier });
  if (init?.method !== "POST") return answer({ status: 200, body: event });
  const key = new Headers(init.headers).get("idempotency-key");
  posts.push({ key, query: url.search, body: JSON.parse(String(init.body)) });
  const next = answers.shift() ?? "nobody";
  if (next === "nobody") throw new TypeError("Failed to fetch");
  return answer(next);
}

const settle = (ms = 0): Promise<void> =>
  act(async () => {
    await vi.advanceTimersByTimeAsync(ms);
  }) as Promise<void>;
const find = (test: string): HTMLElement | null => root.querySelector(`[data-testid="${test}"]`);
const said = (test: string): string => (find(test)?.textContent ?? "").replace(/\s+/g, " ");

function input(name: string): HTMLInputElement {
  const found = root.querySelector<HTMLInputElement>(`input[name="${name}"]`);
  if (found === null) throw new Error(`there is no ${name}`);
  return found;
}

async function type(name: string, value: string): Promise<void> {
  await act(() => {
    input(name).value = value;
    input(name).dispatchEvent(new Event("input", { bubbles: true }));
  });
}

async function open(): Promise<void> {
  await act(() => render(null, root));
  await act(() => render(<SubmitView slug={EVENT.slug} />, root));
  await settle(10);
}

async function fill(): Promise<void> {
  await type("participant.name", "Gordon");
  await type("place.label", "48.86, 2.35");
  await type("images.0", "u/vote");
  await act(() => input("answers.vote").click());
}

async function send(): Promise<void> {
  await act(() => find("submit-button")?.click());
  await settle(10);
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", server);
  localStorage.clear();
  sessionStorage.clear();
  posts = [];
  answers = [];
  event = EVENT;
  root = document.createElement("div");
  document.body.append(root);
  history.replaceState(null, "", `/events/${EVENT.slug}/submit`);
});

afterEach(async () => {
  await act(() => render(null, root));
  root.remove();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("what is taken in", () => {
  it("leads to its status, with the secret kept and nothing left of the draft", async () => {
    answers = [accepted()];
    await open();
    await fill();
    await type("participant.contact", "gordon@example.org");
    await send();
    expect(location.pathname).toBe(`/submissions/${ACCEPTED.id}`);
    expect(posts[0]?.body.participant).toEqual({ name: "Gordon", contact: "gordon@example.org" });
    expect(keptSecret(ACCEPTED.id)).toBe(ACCEPTED.secret);
    expect(freshSecret(ACCEPTED.id)).toMatchObject({ secret: ACCEPTED.secret, storage: "kept" });
    await settle(1_000);
    expect(Object.keys(localStorage).filter((key) => key.includes("draft"))).toEqual([]);
    expect(sessionStorage.length).toBe(0);
  });

  it("is one submission however often it is sent, and another after an edit", async () => {
    answers = ["nobody", problem(503, "unavailable"), problem(422, "invalid"), accepted()];
    await open();
    await fill();
    for (let n = 0; n < 3; n += 1) await send();
    await type("images.0", "u/other");
    await send();
    const keys = posts.map(({ key }) => key);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(new Set(keys.slice(0, 3)).size).toBe(1);
    expect(keys[3]).not.toBe(keys[0]);
  });

  it("is sent under the same key also after a reload", async () => {
    answers = ["nobody", accepted()];
    await open();
    await fill();
    // The draft is written by now; the key comes later.
    await settle(400);
    await send();
    await open();
    expect(said("draft-restored")).toContain("what you began");
    await send();
    expect(posts).toHaveLength(2);
    expect(posts[1]).toEqual(posts[0]);
  });

  it("gets a new key where the old one was used for something else", async () => {
    answers = [problem(422, "idempotency_key_reused"), accepted()];
    await open();
    await fill();
    await send();
    expect(posts).toHaveLength(2);
    expect(posts[1]?.key).not.toBe(posts[0]?.key);
    expect(location.pathname).toBe(`/submissions/${ACCEPTED.id}`);
  });
});

describe("what is not taken in", () => {
  it("is said in the summary, which has the focus, and beside the fields", async () => {
    const errors = [
      { pointer: "/images/0", code: "image_not_found", detail: "It is not there.", hint: "Push." },
      { pointer: "/participant/contact", code: "too_long", detail: "Too long." },
    ];
    answers = [problem(422, "invalid_request", errors)];
    await open();
    await fill();
    await send();
    expect(document.activeElement).toBe(find("error-summary"));
    expect(said("error-images.0")).toBe("It is not there. Push.");
    expect(said("error-participant.contact")).toBe("Too long.");
    expect(input("images.0").getAttribute("aria-describedby")).toContain("field-images-0-error");
    const links = [...(find("error-summary")?.querySelectorAll("button") ?? [])];
    expect(links.map((link) => link.textContent)).toEqual([
      "vote: It is not there.",
      "Contact: Too long.",
    ]);
    await act(() => links[0]?.click());
    expect(document.activeElement).toBe(input("images.0"));
    // Another name is another question; what was said of the rest still stands.
    await type("images.0", "u/vote:2");
    expect(find("error-images.0")).toBeNull();
    expect(find("error-participant.contact")).not.toBeNull();
  });

  it("waits for as long as the server says, counted down", async () => {
    const errors = [{ pointer: "/participant", code: "too_many_pending", detail: "Wait." }];
    const busy = problem(429, "too_many_pending", errors);
    if (busy === "nobody") throw new Error("an answer");
    answers = [{ ...busy, retryAfter: "9" }, accepted()];
    await open();
    await fill();
    await send();
    expect(said("retry-after")).toBe("You can send it again in 9 s.");
    expect(find("error-participant.name")).toBeNull();
    await send();
    expect(posts).toHaveLength(1);
    await settle(4_000);
    expect(said("submit-button")).toBe("Submit (in 5 s)");
    await settle(5_500);
    expect(said("retry-after")).toBe("You can send it again now.");
    await send();
    expect(posts).toHaveLength(2);
  });

  it("loses nothing where there is no connection", async () => {
    await open();
    await fill();
    await send();
    expect(find("error-summary")?.dataset.code).toBe("offline");
    expect(said("error-summary")).toContain("What you typed is kept");
    expect(input("images.0").value).toBe("u/vote");
  });

  it("says that the event has closed meanwhile, in the viewer's own time", async () => {
    answers = [problem(409, "event_closed")];
    await open();
    await fill();
    event = { ...EVENT, open: false, closed_at: "2026-11-20T12:00:00Z" };
    await send();
    expect(said("door")).toContain("The organisers closed this event");
    expect(said("error-summary")).not.toContain("What event_closed means");
    expect((find("submit-button") as HTMLButtonElement).disabled).toBe(true);
    expect(input("images.0").value).toBe("u/vote");
  });

  it("opens by itself at the hour", async () => {
    const opens = new Date(Date.now() + 5_000).toISOString();
    event = { ...EVENT, open: false, opens };
    await open();
    expect(said("door")).toContain("This event opens");
    event = { ...EVENT, opens };
    await settle(6_000);
    expect(find("door")).toBeNull();
    expect((find("submit-button") as HTMLButtonElement).disabled).toBe(false);
  });
});

describe("what was sent before", () => {
  it("is shown, and graded again if asked", async () => {
    const note = "This is what you submitted before.";
    answers = [accepted({ state: "failed", secret: null, note }), accepted()];
    await open();
    await fill();
    await send();
    expect(find("duplicate")?.dataset.submission).toBe(ACCEPTED.id);
    expect(said("duplicate")).toContain("failed");
    expect(find("duplicate")?.querySelector("a")?.getAttribute("href")).toBe(
      `/submissions/${ACCEPTED.id}`,
    );
    await act(() => find("grade-again")?.click());
    await settle(10);
    expect(posts.map(({ query }) => query)).toEqual(["", "?again=true"]);
    expect(location.pathname).toBe(`/submissions/${ACCEPTED.id}`);
  });

  it("is not graded a second time before the first", async () => {
    answers = [accepted({ secret: null, note: "Earlier." })];
    await open();
    await fill();
    await send();
    expect(find("duplicate")).not.toBeNull();
    expect(find("grade-again")).toBeNull();
  });
});

describe("while it is filled in", () => {
  it("an image's name is read once the typing pauses, and never holds anything up", async () => {
    answers = [accepted()];
    await open();
    const hint = (): string | undefined => find("image-hint-0")?.dataset.state;
    expect(hint()).toBe("none");
    await type("images.0", "my app");
    expect(hint()).toBe("waiting");
    await settle(400);
    expect(hint()).toBe("bad");
    expect(said("image-hint-0")).toBe("No spaces, please.");
    await type("images.0", "app");
    await settle(400);
    expect(hint()).toBe("good");
    expect(said("image-hint-0")).toContain("docker.io/app:latest");
    await fill();
    await type("images.0", "my app");
    await settle(400);
    await send();
    expect(posts[0]?.body.images).toEqual(["my app"]);
  });

  it("it is kept, said to be kept, and thrown away if asked", async () => {
    await open();
    expect(find("draft-restored")).toBeNull();
    await type("participant.name", "Ada");
    await settle(400);
    await open();
    expect(input("participant.name").value).toBe("Ada");
    await act(() => find("draft-discard")?.click());
    expect(input("participant.name").value).toBe("");
    expect(find("draft-restored")).toBeNull();
    await open();
    expect(input("participant.name").value).toBe("");
  });

  it("another try leaves what was begun as it is, and either can be gone on with", async () => {
    earlier = { ...ACCEPTED, state: "failed", event: EVENT.slug };
    await open();
    await type("participant.name", "Ada");
    await settle(400);
    history.replaceState(null, "", `/events/${EVENT.slug}/submit?from=${ACCEPTED.id}`);
    await open();
    const name = (): string => input("participant.name").value;
    expect(name()).toBe(ACCEPTED.participant.name);
    expect(said("draft-beside")).toContain("You had begun another form");
    await type("participant.name", "Grace");
    await settle(400);
    await act(() => find("draft-swap")?.click());
    expect(name()).toBe("Ada");
    expect(said("draft-beside")).toContain("from an earlier submission");
    await act(() => find("draft-swap")?.click());
    expect(name()).toBe("Grace");
    // What is sent is gone; the other is not.
    answers = [accepted()];
    await fill();
    await send();
    expect(posts).toHaveLength(1);
    history.replaceState(null, "", `/events/${EVENT.slug}/submit`);
    await open();
    expect(name()).toBe("Ada");
    expect(find("draft-beside")).toBeNull();
  });
});
