// Problem answers of every quality, and the fields that their pointers belong to.
import { describe, expect, it } from "vitest";
import { errorsByField, fieldOf, mendable, nearestField, problemFrom } from "./problem";

const FIELDS = [
  "participant.name",
  "participant.handle",
  "place.label",
  "images.0",
  "images.1",
  "answers.vote",
];

describe("problems", () => {
  it("are read with their errors", () => {
    const problem = problemFrom(422, {
      type: "about:blank",
      title: "Not valid",
      status: 422,
      code: "invalid",
      detail: "2 fields",
      errors: [{ pointer: "/images/1", code: "image_not_found", detail: "u/b does not exist" }],
    });
    expect(problem.code).toBe("invalid");
    expect(problem.errors).toEqual([
      { pointer: "/images/1", code: "image_not_found", detail: "u/b does not exist" },
    ]);
  });

  it.each([null, "<html>", 7, [], { errors: "no" }, { errors: [null, 3, {}] }])(
    "come out whole of %j",
    (body) => {
      const problem = problemFrom(502, body);
      expect(problem).toMatchObject({ status: 502, code: "http_502", errors: [] });
      expect(problem.title).toContain("502");
    },
  );
});

describe("pointers", () => {
  it("become names of inputs", () => {
    expect(fieldOf("/images/0")).toBe("images.0");
    expect(fieldOf("/participant/name")).toBe("participant.name");
    expect(fieldOf("#/answers/a~1b~0c")).toBe("answers.a/b~c");
    expect(fieldOf("")).toBe("");
  });

  it("find the nearest input", () => {
    expect(nearestField("place.lat", FIELDS)).toBe("place.label");
    expect(nearestField("place", FIELDS)).toBe("place.label");
    expect(nearestField("images", FIELDS)).toBe("images.0");
    expect(nearestField("images.7", FIELDS)).toBe("images.0");
    expect(nearestField("event", FIELDS)).toBeNull();
    expect(nearestField("", FIELDS)).toBeNull();
  });

  it("bring their hints along", () => {
    const errors = [{ pointer: "/images/0", code: "a", detail: "No.", hint: "Push it.", x: 1 }];
    const problem = problemFrom(422, { errors });
    expect(problem.errors).toEqual([
      { pointer: "/images/0", code: "a", detail: "No.", hint: "Push it." },
    ]);
    expect([...errorsByField(problem.errors, FIELDS)]).toEqual([["images.0", "No. Push it."]]);
  });

  it("of too many requests are nobody's field", () => {
    const errors = [{ pointer: "/participant", code: "too_many_pending", detail: "Wait." }];
    expect(mendable(problemFrom(429, { errors }))).toEqual([]);
    expect(mendable(problemFrom(422, { errors }))).toEqual(errors);
  });

  it("collect all errors of one field", () => {
    const errors = [
      { pointer: "/answers/vote", code: "a", detail: "First." },
      { pointer: "/answers/vote", code: "b", detail: "Second." },
      { pointer: "/elsewhere", code: "c", detail: "Lost." },
    ];
    expect([...errorsByField(errors, FIELDS)]).toEqual([["answers.vote", "First. Second."]]);
  });
});
