// How organisers' calls look on the wire: the token in its header alone, and what is empty left out.
import { afterEach, describe, expect, it, vi } from "vitest";
import { Admin, queryOf } from "./admin";
import { OfflineError, ProblemError } from "./problem";

afterEach(() => vi.unstubAllGlobals());

interface Seen {
  url: string;
  init: RequestInit;
}

function wire(
  status: number,
  body: unknown,
): { seen: Seen[]; admin: Admin; refused: () => number } {
  const seen: Seen[] = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    seen.push({ url, init });
    return Promise.resolve(
      new Response(status === 204 ? null : JSON.stringify(body), {
        status,
        headers: { "content-type": "application/json" },
      }),
    );
  });
  let times = 0;
  const admin = new Admin("s3cret", () => {
    times += 1;
  });
  return { seen, admin, refused: () => times };
}

const header = ({ init }: Seen, name: string): string | null => new Headers(init.headers).get(name);

describe("a call", () => {
  it("carries the token in its header, and nowhere else", async () => {
    const { seen, admin } = wire(200, {});
    await admin.me();
    await admin.search("b3", { q: "x y", after: null });
    await admin.act("1", "hide", "spam");
    await admin.exportAll("b3", { format: "csv" }, new AbortController().signal);
    expect(seen.map(({ url }) => url)).toEqual([
      "/api/v1/admin/me",
      "/api/v1/admin/events/b3/submissions?q=x+y",
      "/api/v1/admin/submissions/1/hide",
      "/api/v1/admin/events/b3/export?format=csv",
    ]);
    for (const one of seen) {
      expect(header(one, "authorization")).toBe("Bearer s3cret");
      expect([one.init.credentials, one.init.redirect, one.init.cache]).toEqual([
        "omit",
        "error",
        "no-store",
      ]);
      expect(`${one.url} ${String(one.init.body)}`).not.toContain("s3cret");
    }
  });

  it("says a reason only if there is one", async () => {
    const { seen, admin } = wire(200, {});
    await admin.act("1", "hide", "  ");
    await admin.turnDoor("b3", "close", " all is full ");
    await admin.order("7", "apply");
    await admin.judge("b3", "sha256:7a", "poison", "");
    expect(seen.map(({ init }) => init.body)).toEqual([
      "{}",
      '{"note":"all is full"}',
      undefined,
      '{"standing":"poison","event":"b3"}',
    ]);
    expect(seen[2] && header(seen[2], "content-type")).toBeNull();
  });

  it("takes an answer without a body", async () => {
    const { seen, admin } = wire(204, null);
    expect(await admin.act("1", "erase", "")).toBeNull();
    expect(await admin.deleteWebhook("7")).toBeNull();
    expect(seen[1]?.init.method).toBe("DELETE");
  });

  it("only checks rules where that is asked", async () => {
    const { seen, admin } = wire(200, {});
    await admin.putRules("b3", "slug", "check");
    await admin.putRules("b3", "slug", "apply");
    expect(seen.map(({ url }) => url.split("/rules")[1])).toEqual(["?dry_run=true", ""]);
  });

  it("quotes what stands in paths", async () => {
    const { seen, admin } = wire(200, {});
    await admin.submission("../me?x=1");
    expect(seen[0]?.url).toBe("/api/v1/admin/submissions/..%2Fme%3Fx%3D1");
  });
});

describe("an answer", () => {
  it("401 signs out, others do not", async () => {
    const no = wire(401, { status: 401, title: "Unauthorized", code: "token_needed" });
    await expect(no.admin.me()).rejects.toBeInstanceOf(ProblemError);
    expect(no.refused()).toBe(1);
    const other = wire(403, { status: 403, title: "Forbidden", code: "not_yours" });
    await expect(other.admin.me()).rejects.toBeInstanceOf(ProblemError);
    expect(other.refused()).toBe(0);
  });

  it("that does not come is an outage and no refusal", async () => {
    const { admin, refused } = wire(200, {});
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("failed")));
    await expect(admin.me()).rejects.toBeInstanceOf(OfflineError);
    expect(refused()).toBe(0);
  });
});

it("a query has what is set, quoted", () => {
  expect(queryOf({ a: "1 & 2", b: "", c: null, d: undefined })).toBe("?a=1+%26+2");
  expect(queryOf({})).toBe("");
});
