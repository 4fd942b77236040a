// Addresses and the views that they mean; the event of the front page.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { pickEvent } from "./events";
import { CONSOLE_SECTIONS, parsePath, SECTIONS_OF_SINGLES } from "./router";

describe("addresses", () => {
  it.each([
    ["/", { view: "home" }],
    ["/events/birthday-3", { view: "event", slug: "birthday-3" }],
    ["/events/birthday-3/", { view: "event", slug: "birthday-3" }],
    ["/events/birthday-3/submit", { view: "submit", slug: "birthday-3" }],
    ["/events/birthday-3/board", { view: "board", slug: "birthday-3" }],
    ["/submissions/0198", { view: "submission", id: "0198" }],
    ["/console", { view: "console", slug: null, section: "overview", id: null }],
    ["/console/b3", { view: "console", slug: "b3", section: "overview", id: null }],
    ["/console/b3/rules", { view: "console", slug: "b3", section: "rules", id: null }],
    ["/console/b3/regrades/7", { view: "console", slug: "b3", section: "regrades", id: "7" }],
    ["/console/b3/submissions/7", { view: "console", slug: "b3", section: "submissions", id: "7" }],
    [
      "/console/b3/suspects/sha256:7a",
      { view: "console", slug: "b3", section: "suspects", id: "sha256:7a" },
    ],
    ["/console/b3/overview", { view: "missing" }],
    ["/console/b3/rules/7", { view: "missing" }],
    ["/console/b3/submissions/7/8", { view: "missing" }],
    ["/console/B_3", { view: "missing" }],
    ["/events/Bad_Slug", { view: "missing" }],
    ["/events", { view: "missing" }],
    ["/events/a/b", { view: "missing" }],
    ["/submissions/1/2", { view: "missing" }],
    ["/api/v1/events", { view: "missing" }],
  ])("%s", (path, route) => {
    expect(parsePath(path)).toEqual(route);
  });
});

describe("the addresses that the api answers with the page", () => {
  const source = readFileSync("../api/src/router.rs", "utf8");
  const list = /fn views_of_the_page\(\)[^[]*\[([^\]]*)\]/.exec(source)?.[1] ?? "";
  const served = [...list.matchAll(/"([^"]+)"/g)].map(([, path]) => path ?? "");

  it("are views, each of them", () => {
    expect(served.length).toBeGreaterThan(10);
    for (const path of served)
      expect([path, parsePath(path.replaceAll(/\{\w+\}/g, "b3")).view]).not.toContain("missing");
  });

  it("have every section of the console, so that each can be reloaded", () => {
    const plain = served.map((path) => path.replaceAll(/\{\w+\}/g, "*"));
    const sections = CONSOLE_SECTIONS.filter((section) => section !== "overview");
    const wanted = [
      ...sections.map((section) => `/console/*/${section}`),
      ...SECTIONS_OF_SINGLES.map((section) => `/console/*/${section}/*`),
    ];
    expect(wanted.filter((path) => !plain.includes(path))).toEqual([]);
  });
});

describe("the front page", () => {
  const event = (slug: string, opens: string | null, open: boolean) => ({
    slug,
    title: slug,
    opens,
    closes: null,
    open,
  });

  it("shows the newest open event, else the newest, else none", () => {
    const old = event("old", "2016-03-20T00:00:00Z", true);
    const fresh = event("fresh", "2026-03-20T00:00:00Z", true);
    const future = event("future", "2030-01-01T00:00:00Z", false);
    expect(pickEvent([old, fresh, future])?.slug).toBe("fresh");
    expect(pickEvent([{ ...old, open: false }, future])?.slug).toBe("future");
    expect(pickEvent([event("always", null, true)])?.slug).toBe("always");
    expect(pickEvent([])).toBeNull();
  });
});
