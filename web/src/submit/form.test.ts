// The form: what it starts with, what it lacks, what it sends.
import { describe, expect, it } from "vitest";
import type { EventDetail, Submission } from "../api/types";
import { viewSnapshot } from "../snapshots/read";
import {
  curlLine,
  emptyForm,
  type Form,
  fieldNames,
  formFrom,
  missing,
  toBody,
  typedPlace,
  withPlace,
} from "./form";
import { newKey } from "./keep";

const EVENT = viewSnapshot("an_event_with_its_rules") as EventDetail;
const EARLIER = viewSnapshot("a_submission_that_failed") as Submission;

const FILLED: Form = {
  name: " Gordon ",
  handle: "",
  contact: " ",
  place: { label: "San Francisco", spot: null },
  images: ["u/app:1 "],
  answers: { vote: "Cats", motto: "  " },
};

describe("the form", () => {
  it("starts with as many images as the event needs, at least one", () => {
    expect(emptyForm(EVENT).images).toEqual([""]);
    expect(emptyForm({ ...EVENT, images: { ...EVENT.images, min: 2 } }).images).toHaveLength(2);
    expect(emptyForm(EVENT).answers).toEqual({ vote: "", motto: "" });
  });

  it("becomes a body without what was left empty", () => {
    expect(toBody(FILLED)).toEqual({
      participant: { name: "Gordon" },
      place: { label: "San Francisco" },
      images: ["u/app:1"],
      answers: { vote: "Cats" },
    });
    const full = toBody({ ...FILLED, handle: "@g", contact: " g@example.org" });
    expect(full.participant).toEqual({ name: "Gordon", handle: "@g", contact: "g@example.org" });
  });

  it("takes typed coordinates for a place of their own", () => {
    const place = typedPlace("48.86, 2.35");
    expect(toBody({ ...FILLED, place }).place).toEqual({
      label: "48.86, 2.35",
      lat: 48.86,
      lng: 2.35,
    });
    expect(typedPlace("Paris").spot).toBeNull();
  });

  it("sends coordinates only while the picked place stands", () => {
    const place = { label: "Suva, Fiji", lat: -18.1, lng: 178.4, country: "FJ", population: 1 };
    expect(toBody(withPlace(FILLED, place)).place).toEqual({
      label: "Suva, Fiji",
      lat: -18.1,
      lng: 178.4,
    });
  });

  it("names what is missing by pointer", () => {
    const pointers = missing(EVENT, emptyForm(EVENT)).map((error) => error.pointer);
    expect(pointers).toEqual([
      "/participant/name",
      "/place/label",
      "/images/0",
      "/answers/vote",
      "/answers/motto",
    ]);
    const words = missing(EVENT, emptyForm(EVENT)).map((error) => error.detail);
    expect(words).toContain("Please choose: Your vote");
    expect(words).toContain("Please answer: Motto");
    expect(missing(EVENT, { ...FILLED, answers: { vote: "Cats", motto: "x" } })).toEqual([]);
  });

  it("names its inputs as the tests and the pointers do", () => {
    expect(fieldNames(EVENT, { ...FILLED, images: ["", ""] })).toEqual([
      "participant.name",
      "participant.handle",
      "place.label",
      "images.0",
      "images.1",
      "answers.vote",
      "answers.motto",
      "participant.contact",
    ]);
  });

  it("is filled from an earlier submission", () => {
    const earlier = { ...EARLIER, answers: { vote: "Dogs", gone: "x" } };
    const form = formFrom(EVENT, earlier);
    expect(form).toMatchObject({ name: "Gordon", handle: "@docker" });
    expect(form.place).toEqual({
      label: "San Francisco, CA, USA",
      spot: { lat: 37.77, lng: -122.42 },
    });
    expect(form.images).toEqual(["u/vote:1", "u/result"]);
    expect(form.answers).toEqual({ vote: "Dogs", motto: "" });
    expect(form.contact).toBe("");
  });

  it("takes nothing of a submission that was erased", () => {
    const erased = structuredClone(EARLIER);
    erased.participant = { name: "(erased)", handle: null };
    for (const image of erased.images) image.ref = "erased.invalid/erased";
    erased.erased_at = erased.updated_at;
    expect(formFrom(EVENT, erased)).toEqual(emptyForm(EVENT));
    expect(formFrom(EVENT, EARLIER)).not.toEqual(emptyForm(EVENT));
  });
});

describe("what goes with the form", () => {
  it("is one line of curl, safe in a shell", () => {
    const body = toBody({ ...FILLED, name: "O'Neil" });
    const line = curlLine("http://127.0.0.1:8080", "/api/v1/events/birthday-3/submissions", body);
    expect(line).toContain("http://127.0.0.1:8080/api/v1/events/birthday-3/submissions");
    expect(line).toContain("O'\\''Neil");
  });

  it("makes keys also where randomUUID is missing", () => {
    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
    expect(newKey()).toMatch(uuid);
    const original = crypto.randomUUID;
    Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
    expect(newKey()).toMatch(uuid);
    Object.defineProperty(crypto, "randomUUID", { value: original, configurable: true });
  });
});
