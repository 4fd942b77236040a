// The console drawn whole, against answers as the api gives them: signing in, finding, acting, failing.
import { render } from "preact";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AuditLine, Fleet, Found, Whole } from "../api/admin";
import type { EventDetail, Submission } from "../api/types";
import { viewSnapshot } from "../snapshots/read";
import { type ConsoleRoute, ConsoleView } from "./Console";
import { forget } from "./session";

const EVENT = viewSnapshot("an_event_with_its_rules") as EventDetail;
const FAILED = viewSnapshot("a_submission_that_failed") as Submission;
const STATS = viewSnapshot("the_numbers_of_an_event");
const TRICK = "<img src=x onerror=alert(1)>";

const LINE: AuditLine = {
  id: "1",
  at: "2026-03-20T12:00:00Z",
  by: TRICK,
  token: "t",
  role: "organiser",
  what: "hide",
  submission: FAILED.id,
  note: TRICK,
  detail: { why: TRICK },
  request: null,
  outcome: "done",
};

const WHOLE: Whole = {
  ...FAILED,
  participant: { name: TRICK, handle: TRICK },
  event_version: 3,
  contact: TRICK,
  hidden: false,
  erased_at: null,
  revision: 7,
  audit: [LINE],
};

const FOUND: Found = {
  id: FAILED.id,
  state: "failed",
  reason: "rule_failed:config",
  created_at: FAILED.created_at,
  updated_at: FAILED.updated_at,
  event_version: 3,
  participant: WHOLE.participant,
  place: { ...FAILED.place, label: TRICK },
  images: [TRICK],
  hidden: false,
  erased_at: null,
};

const FLEET: Fleet = {
  slots: 4,
  busy: 3,
  workers: [
    {
      name: "w-1",
      slots: 4,
      busy: 3,
      seen_at: "2026-03-20T12:00:00Z",
      draining: false,
      version: null,
    },
  ],
  nodes: [
    {
      name: "n-1",
      worker: "w-1",
      state: "unfit",
      duty: "serving",
      slots: 4,
      busy: 0,
      takes_work: false,
      why: TRICK,
      checked_at: null,
      canary: "failed",
    },
  ],
};

// There is nothing to draw on here; what is drawn is looked at in a browser.
vi.mock("./overview/chart", () => ({
  draw: () => ({ update: () => undefined, destroy: () => undefined }),
}));

type Answer = [status: number, body: unknown] | "offline";
let answers: Record<string, Answer | ((init: RequestInit) => Answer)> = {};
let asked: string[] = [];
let root: HTMLElement;

const problem = (status: number, code: string, detail: string, errors: object[] = []): Answer => [
  status,
  { title: code, status, code, detail, errors },
];

function usual(): typeof answers {
  return {
    "GET /admin/me": [
      200,
      {
        id: "t",
        name: "Ada",
        role: "organiser",
        event: "birthday-3",
        created_at: "",
        expires_at: null,
      },
    ],
    "GET /events": [200, { events: [EVENT] }],
    "GET /events/birthday-3": [200, EVENT],
    "GET /events/birthday-3/stats": [200, STATS],
    "GET /admin/fleet": [200, FLEET],
    "GET /admin/events/birthday-3/history": [
      200,
      { event: "birthday-3", step_s: 300, buckets: [] },
    ],
    "GET /admin/events/birthday-3/submissions": [200, { items: [FOUND], next: "cursor" }],
    [`GET /admin/submissions/${FAILED.id}`]: [200, WHOLE],
  };
}

beforeEach(() => {
  answers = usual();
  asked = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit = {}) => {
    const path = url.replace("/api/v1", "").split("?")[0];
    const key = `${init.method ?? "GET"} ${path}`;
    asked.push(`${init.method ?? "GET"} ${url}`);
    const given = answers[key] ?? problem(404, "not_found", `There is no ${key}.`);
    const answer = typeof given === "function" ? given(init) : given;
    if (answer === "offline") return Promise.reject(new TypeError("failed"));
    return Promise.resolve(new Response(JSON.stringify(answer[1]), { status: answer[0] }));
  });
  root = document.createElement("div");
  document.body.append(root);
});

afterEach(() => {
  render(null, root);
  root.remove();
  sessionStorage.clear();
  localStorage.clear();
  forget();
  vi.unstubAllGlobals();
  history.replaceState(null, "", "/");
});

function open(route: Partial<ConsoleRoute>, search = "", token: string | null = "good"): void {
  if (token !== null) sessionStorage.setItem("portcall.console.token", token);
  history.replaceState(null, "", `/console${search}`);
  const whole: ConsoleRoute = {
    view: "console",
    slug: "birthday-3",
    section: "overview",
    id: null,
  };
  render(<ConsoleView route={{ ...whole, ...route }} />, root);
}

const find = (testid: string): HTMLElement | null =>
  root.querySelector<HTMLElement>(`[data-testid="${testid}"]`);
const text = (): string => root.textContent ?? "";

/** As `vi.waitFor`, and patient: a machine may be busy. */
const eventually = <T,>(check: () => T): Promise<T> => vi.waitFor(check, { timeout: 20_000 });

async function seen(testid: string): Promise<HTMLElement> {
  return eventually(() => {
    const element = find(testid);
    if (element === null) throw new Error(`no ${testid} in: ${text()}`);
    return element;
  });
}

/** Nothing that came as a text may have become an element. */
function untouched(): void {
  expect(root.querySelectorAll("img, script").length).toBe(0);
  expect(text()).toContain(TRICK);
  expect(text()).not.toMatch(/undefined|NaN|\[object/);
}

function type(element: HTMLElement, value: string): void {
  (element as HTMLInputElement).value = value;
  element.dispatchEvent(new Event("input", { bubbles: true }));
}

describe("signing in", () => {
  it("refuses a token that the api refuses, in plain words, and keeps nothing", async () => {
    answers["GET /admin/me"] = problem(401, "token_needed", "Send a token.");
    open({ slug: null }, "", null);
    type(await seen("console-token"), " wrong ");
    find("console-signin-button")?.click();
    expect((await seen("error-token")).textContent).toMatch(/not good/);
    expect([sessionStorage.length, localStorage.length]).toEqual([0, 0]);
    expect(asked.join(" ")).not.toContain("wrong");
  });

  it("opens the console with a good one, kept by the tab alone", async () => {
    open({}, "", null);
    type(await seen("console-token"), "good");
    find("console-signin-button")?.click();
    await seen("console-overview");
    expect([sessionStorage.length, localStorage.length]).toEqual([1, 0]);
    find("console-signout")?.click();
    await seen("console-signin");
    expect(sessionStorage.length).toBe(0);
  });

  it("ends with a sentence when the token is taken back meanwhile", async () => {
    answers["GET /admin/events/birthday-3/submissions"] = problem(401, "token_needed", "No.");
    open({ section: "submissions" });
    expect((await seen("console-ended")).textContent).toMatch(/not good any more/);
    expect(sessionStorage.length).toBe(0);
  });

  it("does not end while the server is out of reach", async () => {
    answers["GET /admin/me"] = "offline";
    open({});
    const trouble = await seen("trouble");
    expect(trouble.dataset.kind).toBe("offline");
    expect(sessionStorage.length).toBe(1);
  });

  it("shows no event that the token is not for", async () => {
    open({ slug: "other-1", section: "submissions" });
    const trouble = await seen("trouble");
    expect([trouble.dataset.kind, trouble.querySelector("a")?.getAttribute("href")]).toEqual([
      "forbidden",
      "/console/birthday-3",
    ]);
    expect(asked.filter((one) => one.includes("other-1/submissions"))).toEqual([]);
  });
});

describe("the overview", () => {
  it("shows the queue, the machines and the times of steps", async () => {
    open({});
    await seen("console-nodes");
    await eventually(() => expect(text()).toContain("takes no work"));
    for (const part of [
      "oldest: 42 s",
      "3 of 4 slots busy",
      "by w-1, unfit, serving, 0 of 4 slots busy",
      "n-1",
      "w-1",
      "100 ms",
      "900 ms",
    ]) {
      expect(text()).toContain(part);
    }
    untouched();
    expect(find("chart-throughput")?.querySelector("canvas")?.getAttribute("role")).toBe("img");
  });

  it("shows what it has when a part of it is not answered", async () => {
    answers["GET /admin/fleet"] = problem(503, "unavailable", "Portcall cannot reach its store.");
    open({});
    await eventually(() => expect(text()).toContain("Portcall cannot reach its store."));
    expect(text()).toContain("oldest: 42 s");
  });
});

describe("the list of submissions", () => {
  it("asks for what the address says, and draws strangers' words as words", async () => {
    open({ section: "submissions" }, "?state=failed&q=zo%C3%AB&after=abc");
    const row = (await seen("console-results")).querySelector<HTMLElement>("[data-submission]");
    expect({ ...row?.dataset }).toMatchObject({
      submission: FAILED.id,
      state: "failed",
      hidden: "false",
    });
    const call = asked.find((one) => one.includes("/submissions?")) ?? "";
    expect(call).toContain("q=zo%C3%AB&state=failed&after=abc");
    untouched();
    const older = find("page-older")?.getAttribute("href");
    expect(older).toBe("/console?state=failed&q=zo%C3%AB&after=cursor");
  });

  it("says what is wrong with a search beside its field", async () => {
    const error = { pointer: "/country", code: "country_invalid", detail: "Two letters." };
    answers["GET /admin/events/birthday-3/submissions"] = problem(
      422,
      "country_invalid",
      "Two letters.",
      [error],
    );
    open({ section: "submissions" }, "?country=USA");
    expect((await seen("error-country")).textContent).toBe("Two letters.");
  });

  it("says that nothing was found", async () => {
    answers["GET /admin/events/birthday-3/submissions"] = [200, { items: [], next: null }];
    open({ section: "submissions" }, "?q=x");
    await eventually(() => expect(text()).toContain("Nothing was found."));
  });

  it("has chosen ones graded anew", async () => {
    let sent = "";
    answers["POST /admin/events/birthday-3/regrades"] = ({ body }) => {
      sent = String(body);
      return [202, { id: "77" }];
    };
    open({ section: "submissions" });
    (await seen("console-results")).querySelector<HTMLElement>("tbody input")?.click();
    (await seen("regrade-new")).click();
    (await seen("act-confirm")).click();
    await eventually(() => expect(location.pathname).toBe("/console/birthday-3/regrades/77"));
    expect(JSON.parse(sent)).toEqual({ submissions: [FAILED.id] });
  });
});

describe("a submission", () => {
  it("has its whole history, in words only", async () => {
    open({ section: "submissions", id: FAILED.id });
    await seen("submission-audit");
    for (const part of [
      "rule_failed:config",
      "worker-1",
      "node-1",
      "GET /getconfig HTTP/1.1",
      "listening on :80",
      "Took the pin off the map",
      "version 3",
    ]) {
      expect(text()).toContain(part);
    }
    untouched();
  });

  it("is hidden after a question, with the reason, and shows it at once", async () => {
    let sent = "";
    answers[`POST /admin/submissions/${FAILED.id}/hide`] = ({ body }) => {
      sent = String(body);
      return [200, { ...WHOLE, hidden: true }];
    };
    open({ section: "submissions", id: FAILED.id });
    (await seen("act-hide")).click();
    const box = await seen("confirm");
    const note = box.querySelector("textarea");
    if (note === null) throw new Error("no room for a reason");
    type(note, "spam");
    await eventually(() => expect(note.value).toBe("spam"));
    find("act-confirm")?.click();
    await seen("act-unhide");
    expect(sent).toBe('{"note":"spam"}');
    expect(find("confirm")).toBeNull();
  });

  it("says why an act was refused, and stays as it is", async () => {
    answers[`POST /admin/submissions/${FAILED.id}/hide`] = problem(
      409,
      "already_final",
      "Too late.",
    );
    open({ section: "submissions", id: FAILED.id });
    (await seen("act-hide")).click();
    (await seen("act-confirm")).click();
    expect((await seen("confirm-problem")).textContent).toBe("Too late.");
    expect(find("act-unhide")).toBeNull();
  });

  it("of another event is shown in that one", async () => {
    answers[`GET /admin/submissions/${FAILED.id}`] = [200, { ...WHOLE, event: "other-1" }];
    open({ section: "submissions", id: FAILED.id });
    await eventually(() =>
      expect(location.pathname).toBe(`/console/other-1/submissions/${FAILED.id}`),
    );
  });

  it("that is not there is told so", async () => {
    open({ section: "submissions", id: "none" });
    expect((await seen("trouble")).dataset.kind).toBe("missing");
  });
});

describe("the rules", () => {
  const RULES = {
    event: "birthday-3",
    version: 3,
    applied_at: "2026-03-20T12:00:00Z",
    source: "one\ntwo\n",
  };

  beforeEach(() => {
    answers["GET /admin/events/birthday-3/rules"] = [200, RULES];
    answers["GET /admin/events/birthday-3/rules/versions"] = [
      200,
      { event: "birthday-3", items: [] },
    ];
  });

  it("are judged by the api, with each mistake at its line", async () => {
    const error = { pointer: "/source", code: "rules_invalid", detail: "Line 2: no such key." };
    answers["PUT /admin/events/birthday-3/rules"] = problem(422, "rules_invalid", "x", [error]);
    open({ section: "rules" });
    type(await seen("rules-editor"), "one\noops\n");
    find("rules-check")?.click();
    const told = await seen("rules-problem");
    expect([told.dataset.line, told.textContent?.trim()]).toEqual(["2", "Line 2: no such key."]);
    expect(
      asked.filter((one) => one.startsWith("PUT")).every((one) => one.endsWith("?dry_run=true")),
    ).toBe(true);
  });

  it("are applied after a look at what changes", async () => {
    answers["PUT /admin/events/birthday-3/rules"] = [
      200,
      { event: "birthday-3", version: 4, outcome: "applied" },
    ];
    open({ section: "rules" });
    type(await seen("rules-editor"), "one\nthree\n");
    await eventually(() => expect((find("rules-apply") as HTMLButtonElement).disabled).toBe(false));
    find("rules-apply")?.click();
    const box = await seen("confirm");
    expect(box.textContent).toContain("Apply as version 4?");
    expect([...box.querySelectorAll(".diff-added code")].map((e) => e.textContent)).toEqual([
      "three",
    ]);
    find("act-confirm")?.click();
    await eventually(() => expect(find("confirm")).toBeNull());
    const applied = asked.filter((one) => one.startsWith("PUT") && !one.endsWith("?dry_run=true"));
    expect(applied).toHaveLength(1);
  });
});
