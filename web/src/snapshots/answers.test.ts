// What the api sends has every field that the page reads, of the type that it reads it as.
import { describe, expect, it } from "vitest";
import { errorsByField, problemFrom } from "../api/problem";
import { type Cell, isFinal, isPin, type Pin, type Pins, type Submission } from "../api/types";
import { sentProblems, viewSnapshot } from "./read";
import { type Look, newFindings, object, text, unseen } from "./shape";
import { accepted, cell, delayed, eventDetail, pin, pins, stats, submission } from "./shapes";

function check(pairs: [value: unknown, path: string, shape: Look][]): {
  wrong: string[];
  unseen: string[];
} {
  const found = newFindings();
  for (const [value, path, shape] of pairs) shape(value, path, found);
  return { wrong: found.wrong, unseen: unseen(found) };
}

const CLEAN = { wrong: [], unseen: [] };

describe("the api's answers", () => {
  it("are submissions, seen in all of their parts", () => {
    expect(
      check([
        [viewSnapshot("a_submission_that_was_just_accepted"), "submission", accepted],
        [viewSnapshot("a_submission_that_failed"), "submission", submission],
        [viewSnapshot("a_submission_that_is_delayed_or_graded"), "submission.delayed", delayed],
      ]),
    ).toEqual(CLEAN);
    const failed = viewSnapshot("a_submission_that_failed") as Submission;
    expect(isFinal(failed.state)).toBe(true);
  });

  it("are events", () => {
    const event = viewSnapshot("an_event_with_its_rules");
    expect(check([[event, "event", eventDetail]])).toEqual(CLEAN);
  });

  it("are numbers", () => {
    expect(check([[viewSnapshot("the_numbers_of_an_event"), "stats", stats]])).toEqual(CLEAN);
  });

  it("are pins and counts, told apart", () => {
    const answer = viewSnapshot("cells_and_pins_of_the_map") as Pins;
    const features = answer.features.map((feature): [Cell | Pin, string, Look] =>
      isPin(feature) ? [feature, "pin", pin] : [feature, "cell", cell],
    );
    expect(new Set(features.map(([, name]) => name))).toEqual(new Set(["pin", "cell"]));
    expect(check([[answer, "pins", pins], ...features])).toEqual(CLEAN);
    const counted = answer.features.reduce((sum, { properties }) => sum + properties.count, 0);
    expect(counted).toBe(answer.total);
  });
});

describe("the api's problems", () => {
  it("are read whole, each of them", () => {
    const problems = sentProblems();
    expect(problems.length).toBeGreaterThan(10);
    for (const { body } of problems) {
      const read = problemFrom(body.status, body);
      expect(body).toMatchObject(read);
      expect(read.detail).not.toBeNull();
    }
  });

  it("stand beside the inputs that they mean", () => {
    const inputs = ["participant.name", "place.label", "images.0"];
    const placed = sentProblems().flatMap(({ body }) => [
      ...errorsByField(problemFrom(body.status, body).errors, inputs).keys(),
    ]);
    expect(new Set(placed)).toEqual(new Set(inputs));
  });
});

describe("a shape", () => {
  it("notices what is missing, what is of another type, and what was never full", () => {
    const shape = object<{ a: string; b: string }>({ a: text, b: text });
    expect(check([[{ a: 1, c: "" }, "x", shape]]).wrong).toEqual([
      "x.a is number, not string",
      "x.b is missing, not string",
    ]);
    const never = { ...(viewSnapshot("the_numbers_of_an_event") as object), reasons: [] };
    expect(check([[never, "stats", stats]]).unseen).toEqual(["stats.reasons"]);
  });
});
