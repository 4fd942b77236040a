// What can be searched for, chosen and done, and how it is said.
import { describe, expect, it } from "vitest";
import { ProblemError, problemFrom } from "../api/problem";
import type { State } from "../api/types";
import { noteFault } from "./Confirm";
import { doorState } from "./overview/Door";
import { share } from "./overview/Overview";
import { width } from "./overview/Steps";
import { placed } from "./Paging";
import { reasonOptions, wantedOf, wantedWords } from "./regrades/NewRegrade";
import { isMoving, ORDER_WORDS, orders } from "./regrades/orders";
import { tokenFault } from "./SignIn";
import { possible } from "./submission/acts";
import { fileName, readAll } from "./submissions/download";
import { brokenOff } from "./submissions/Export";
import { filtersOf, isFiltered, NO_FILTERS, regradeQuery, searchOf } from "./submissions/query";
import { kindOf } from "./Trouble";
import { actWords, counted, detailPairs, regradeOf, suspectOf, waited } from "./words";

describe("a search", () => {
  it("stands in the address and comes back from it", () => {
    const filters = { ...NO_FILTERS, q: "Zoë & co", state: "failed", reason: "rule_failed:config" };
    const search = searchOf(filters);
    expect(search).toBe("?q=Zo%C3%AB+%26+co&state=failed&reason=rule_failed%3Aconfig");
    expect(filtersOf(search)).toEqual(filters);
    expect(searchOf({ ...NO_FILTERS, q: "  ", country: "us" })).toBe("?country=US");
    expect([isFiltered(NO_FILTERS), isFiltered(filters)]).toEqual([false, true]);
  });

  it("can become a re-grade only where that says the same", () => {
    const of = (change: object): string | null => regradeQuery({ ...NO_FILTERS, ...change });
    expect(of({ state: "failed", reason: "exited" })).toBe("?states=failed&reasons=exited");
    expect(of({ reason: "exited" })).toBe("?reasons=exited");
    expect([of({}), of({ state: "queued" }), of({ state: "failed", q: "x" })]).toEqual([
      null,
      null,
      null,
    ]);
    expect(of({ state: "failed", hidden: "true" })).toBeNull();
  });

  it("keeps its other choices on another page", () => {
    expect(placed("?state=failed&after=a", "after", "b")).toBe("?state=failed&after=b");
    expect(placed("?after=a", "after", null)).toBe("");
  });
});

describe("a re-grade", () => {
  it("is filled in by a link, without words that are none", () => {
    expect(wantedOf("?states=failed,cancelled&reasons=a,b")).toEqual({
      states: ["failed"],
      reasons: ["a", "b"],
    });
    expect(wantedOf("")).toEqual({ states: [], reasons: [] });
  });

  it("says what it is of", () => {
    expect(wantedWords({ states: [], reasons: [] })).toBe("All with a verdict");
    expect(wantedWords({ states: ["failed", "undetermined"], reasons: ["a"] })).toBe(
      "All that failed or could not be decided, because of a",
    );
  });

  it("offers what came and what a link names", () => {
    expect(reasonOptions([{ code: "a", count: 1 }], ["a", "z"])).toEqual([
      { value: "a", words: "a (1 time)" },
      { value: "z", words: "z" },
    ]);
  });

  it("is applied when ready, undone when applied, given up before", () => {
    expect(orders("ready")).toEqual(["apply", "discard"]);
    expect(orders("applied")).toEqual(["undo"]);
    expect([orders("undone"), orders("discarded"), orders("applying")]).toEqual([[], [], []]);
    expect([isMoving("grading"), isMoving("ready")]).toEqual([true, false]);
    const counts = { waiting: 0, unchanged: 1, would_pass: 2, would_fail: 1, undetermined: 0 };
    expect(ORDER_WORDS.apply.text(counts)).toMatch(
      /^2 submissions will pass and 1 submission will/,
    );
    expect(ORDER_WORDS.apply.text({ ...counts, would_pass: 0, would_fail: 0 })).toMatch(
      /^No verdict/,
    );
  });
});

describe("a submission", () => {
  const now = (state: State, hidden = false, erased_at: string | null = null): string =>
    possible({ state, hidden, erased_at }).join(" ");

  it("can be acted on as far as that makes sense", () => {
    expect(now("passed")).toBe("hide erase");
    expect(now("passed", true)).toBe("unhide erase");
    expect(now("grading")).toBe("hide cancel erase");
    expect(now("undetermined")).toBe("hide requeue erase");
    expect(now("undetermined", false, "2026-03-20T12:00:00Z")).toBe("");
  });
});

describe("an event", () => {
  it("is open, held closed, early or over", () => {
    const event = { open: false, opens: null, closes: null } as Parameters<typeof doorState>[0];
    const at = new Date("2026-03-20T12:00:00Z");
    expect(doorState({ ...event, open: true }, at)).toBe("open");
    expect(doorState({ ...event, closed_at: "2026-03-20T11:00:00Z" }, at)).toBe("held");
    expect(doorState({ ...event, opens: "2026-03-21T11:00:00Z" }, at)).toBe("early");
    expect(doorState({ ...event, opens: "2026-03-19T11:00:00Z" }, at)).toBe("over");
  });
});

describe("words", () => {
  it("name acts, also those that are new", () => {
    expect(actWords("hide")).toBe("Took the pin off the map");
    expect(actWords("some_new_act")).toBe("some new act");
  });

  it("tell details as pairs", () => {
    expect(detailPairs({ from: 1, sha256: "ab", deep: { a: [1] } })).toEqual([
      ["from", "1"],
      ["sha256", "ab"],
      ["deep", '{"a":[1]}'],
    ]);
    expect([detailPairs(null), detailPairs("x")]).toEqual([[], []]);
    const line = { detail: { regrade: "7" } } as Parameters<typeof regradeOf>[0];
    expect([regradeOf(line), regradeOf({ ...line, detail: null })]).toEqual(["7", null]);
  });

  it("know what a line is about", () => {
    const line = { what: "judge_image", detail: { digest: "sha256:7a", standing: "poison" } };
    const of = (changes: object): string | null =>
      suspectOf({ ...line, ...changes } as Parameters<typeof suspectOf>[0]);
    expect([of({}), of({ what: "hide" }), of({ detail: null }), of({ detail: {} })]).toEqual([
      "sha256:7a",
      null,
      null,
      null,
    ]);
  });

  it("count and measure", () => {
    expect([counted(1, "try", "tries"), counted(12_000, "pin")]).toEqual(["1 try", "12,000 pins"]);
    expect([0, 59, 60, 7_300, 200_000].map(waited)).toEqual([
      "0 s",
      "59 s",
      "1 min",
      "2 h",
      "2 days",
    ]);
    expect([share(0, 0), share(1, 3)]).toEqual(["none yet", "33 % of the decided"]);
    expect([width(null, 9), width(1, 900), width(450, 900), width(0, 0)]).toEqual([0, 1, 50, 0]);
  });

  it("tell kinds of trouble apart", () => {
    const kind = (status: number): string => kindOf(new ProblemError(problemFrom(status, null)));
    expect([403, 404, 429, 503, 500].map(kind)).toEqual([
      "forbidden",
      "missing",
      "busy",
      "busy",
      "other",
    ]);
  });

  it("find the fault of a note, and leave others where they are", () => {
    const at = (pointer: string): string | undefined =>
      noteFault(
        new ProblemError(
          problemFrom(422, { errors: [{ pointer, code: "x", detail: "Too long." }] }),
        ),
      );
    expect([at("/note"), at("/where")]).toEqual(["Too long.", undefined]);
  });

  it("see what cannot be a token", () => {
    expect([tokenFault("pt_abc-1"), tokenFault("")]).toEqual([null, "Enter your token."]);
    expect([tokenFault("a b"), tokenFault("tökén")].every((fault) => fault !== null)).toBe(true);
  });
});

describe("a file", () => {
  it("is called what the answer says, and nothing that leads elsewhere", () => {
    expect(fileName('attachment; filename="portcall-b3-2026-03-20.csv"', "x")).toBe(
      "portcall-b3-2026-03-20.csv",
    );
    expect(fileName('attachment; filename="../../etc/passwd"', "x.csv")).toBe("x.csv");
    expect(fileName(null, "x.csv")).toBe("x.csv");
  });

  it("is read piece by piece, and tells how far it is", async () => {
    const pieces = ["id,state\n", "1,passed\n"];
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
        controller.close();
      },
    });
    const seen: number[] = [];
    const blob = await readAll(
      new Response(body, { headers: { "content-type": "text/csv" } }),
      (bytes) => seen.push(bytes),
    );
    expect([seen, blob.type, blob.size]).toEqual([[9, 18], "text/csv", 18]);
  });

  it("that breaks off is not saved", async () => {
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.error(new TypeError("network error"));
      },
    });
    const broken = await readAll(new Response(body), () => undefined).catch((error) => error);
    expect(broken).toBeInstanceOf(Error);
    expect(brokenOff(broken)).toMatch(/nothing was saved/);
  });
});
