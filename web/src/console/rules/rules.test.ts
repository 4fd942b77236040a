// A rules file: its mistakes by line, what a change is, and what is kept of it.
import { afterEach, describe, expect, it } from "vitest";
import { OfflineError, ProblemError, problemFrom } from "../../api/problem";
import { diff } from "./diff";
import { keepDraft, readDraft } from "./draft";
import { countLines, mistakesOf, rangeOf } from "./problems";
import { stateWords } from "./Rules";
import { judged } from "./useCheck";

const told = (before: string, after: string, around?: number): string =>
  diff(before, after, around)
    .map(({ kind, text }) => `${{ added: "+", removed: "-", same: " ", gap: "" }[kind]}${text}`)
    .join("|");

describe("mistakes", () => {
  it("stand at their lines, in their order", () => {
    const error = (detail: string) => ({ pointer: "/source", code: "rules_invalid", detail });
    expect(
      mistakesOf([
        error("Line 12: checks[0].status: it is 99.\nNext."),
        error("Line 3: no key."),
        error("Odd."),
      ]),
    ).toEqual([
      { line: 0, text: "Odd." },
      { line: 3, text: "no key." },
      { line: 12, text: "checks[0].status: it is 99.\nNext." },
    ]);
  });

  it("are told from what is no mistake of the file", () => {
    const body = { errors: [{ pointer: "/source", code: "x", detail: "Line 2: no." }] };
    expect(judged(new ProblemError(problemFrom(422, body)))).toEqual({
      is: "wrong",
      mistakes: [{ line: 2, text: "no." }],
    });
    expect(judged(new OfflineError(null)).is).toBe("unknown");
    expect(judged(new ProblemError(problemFrom(503, null))).is).toBe("unknown");
  });

  it("lead to where their line begins and ends", () => {
    const text = "one\ntwo\n\nfour";
    const line = (n: number): string => text.slice(...rangeOf(text, n));
    expect([1, 2, 3, 4, 9].map(line)).toEqual(["one", "two", "", "four", ""]);
    expect(countLines(text)).toBe(4);
  });

  it("are summed up beside the buttons", () => {
    const mistakes = [{ line: 1, text: "" }];
    expect(stateWords({ is: "wrong", mistakes }, true, null, 3)).toBe("One mistake.");
    expect(stateWords({ is: "good" }, true, null, 3)).toBe("No mistake. Not applied yet.");
    expect(stateWords({ is: "unasked" }, false, 4, 4)).toBe("Applied as version 4.");
    expect(stateWords({ is: "unasked" }, false, null, 4)).toBe("Version 4, as it holds now.");
  });
});

describe("a change", () => {
  it("is nothing where nothing differs", () => {
    expect(diff("a\nb", "a\nb")).toEqual([]);
  });

  it("shows the lines around it and leaves out the rest", () => {
    const before = "1\n2\n3\n4\n5\n6\n7\n8\n9";
    expect(told(before, before.replace("5", "five"), 1)).toBe("⋯| 4|-5|+five| 6|⋯");
    expect(told("a\nb\nc", "a\nc", 1)).toBe(" a|-b| c");
    expect(told("a\nc", "a\nb\nc", 0)).toBe("⋯|+b|⋯");
    expect(told("a\nb\nc\nd", "b\nx\nd\ne", 0)).toBe("-a|⋯|-c|+x|⋯|+e");
  });

  it("holds every line of either side", () => {
    const before = ["x", "a", "b", "c", "a", "b", "b", "a"].join("\n");
    const after = ["c", "b", "a", "b", "a", "c"].join("\n");
    const lines = diff(before, after, 99);
    const side = (not: string): string =>
      lines
        .filter(({ kind }) => kind !== not)
        .map(({ text }) => text)
        .join("\n");
    expect(side("added")).toBe(before);
    expect(side("removed")).toBe(after);
    expect(lines.filter(({ kind }) => kind === "same")).toHaveLength(4);
  });

  it("of everything in a huge file is told without a table", () => {
    const many = (word: string): string =>
      Array.from({ length: 3_000 }, (_, n) => word + n).join("\n");
    expect(diff(many("a"), many("b"))).toHaveLength(6_000);
  });
});

describe("a draft", () => {
  afterEach(() => sessionStorage.clear());

  it("is kept for its event, and gone when it is given up", () => {
    keepDraft("one", { base: 3, text: "slug" });
    expect(readDraft("one")).toEqual({ base: 3, text: "slug" });
    expect(readDraft("other")).toBeNull();
    keepDraft("one", null);
    expect(readDraft("one")).toBeNull();
  });

  it("that cannot be read is none", () => {
    for (const bad of ["{", "[]", "null", '{"base":"3","text":"x"}', '{"base":3}']) {
      sessionStorage.setItem("portcall.console.rules.one", bad);
      expect(readDraft("one"), bad).toBeNull();
    }
  });
});
