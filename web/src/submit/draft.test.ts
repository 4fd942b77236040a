// Drafts: what is kept, what is not, and what is made of what lies there.
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { EventDetail } from "../api/types";
import { viewSnapshot } from "../snapshots/read";
import { type Draft, draftOf, dropDraft, readDraft, writeDraft } from "./draft";
import { emptyForm, type Form } from "./form";
import { keepSecret } from "./keep";
import { begin } from "./useDraft";

const EVENT = viewSnapshot("an_event_with_its_rules") as EventDetail;
const FORM: Form = {
  name: "Gordon",
  handle: "@docker",
  contact: "gordon@example.org",
  place: { label: "Suva", spot: { lat: -18.1, lng: 178.4 } },
  images: ["u/vote:1", "u/result"],
  answers: { vote: "Cats", motto: "" },
};
const DRAFT: Draft = { form: FORM, from: null, key: "k-1", at: 1_000 };

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
});

describe("a draft", () => {
  it("comes back whole, with its key, for its event alone", () => {
    writeDraft(EVENT.slug, DRAFT);
    expect(readDraft(EVENT, 2_000)).toEqual(DRAFT);
    expect(readDraft({ ...EVENT, slug: "other" }, 2_000)).toBeNull();
    dropDraft(EVENT.slug);
    expect(readDraft(EVENT, 2_000)).toBeNull();
  });

  it("keeps the contact with the tab, not in the browser", () => {
    writeDraft(EVENT.slug, DRAFT);
    const kept = Object.values({ ...localStorage }).join(" ");
    expect(kept).toContain("Gordon");
    expect(kept).not.toContain("example.org");
    // Another tab, another day, perhaps another person.
    sessionStorage.clear();
    expect(readDraft(EVENT, 2_000)?.form.contact).toBe("");
  });

  it("is none where nothing was typed, or too long ago", () => {
    writeDraft(EVENT.slug, DRAFT);
    expect(readDraft(EVENT, 40 * 86_400_000)).toBeNull();
    writeDraft(EVENT.slug, { ...DRAFT, form: emptyForm(EVENT) });
    expect(localStorage.length).toBe(0);
  });

  it("fits the rules as they are now", () => {
    const rules = { ...EVENT, images: { ...EVENT.images, min: 3, max: 3 } };
    const stored = { ...DRAFT, form: { ...FORM, answers: { vote: "Dogs", gone: "x" } } };
    const form = draftOf(stored, rules, "")?.form;
    expect(form?.images).toEqual(["u/vote:1", "u/result", ""]);
    expect(form?.answers).toEqual({ vote: "Dogs", motto: "" });
  });

  it.each([null, 7, "x", [], {}, { form: 1, at: 1 }, { form: { name: 3, images: "no" }, at: 1 }])(
    "is not made of %j",
    (stored) => {
      expect(draftOf(stored, EVENT, "")).toBeNull();
    },
  );

  it("does without storage", () => {
    const full = vi.fn(() => {
      throw new Error("full");
    });
    vi.stubGlobal("localStorage", { getItem: full, setItem: full, removeItem: full });
    expect(() => writeDraft(EVENT.slug, DRAFT)).not.toThrow();
    expect(() => dropDraft(EVENT.slug)).not.toThrow();
    expect(readDraft(EVENT)).toBeNull();
    expect(keepSecret("id-1", "s")).toBe("not kept");
    expect(full).toHaveBeenCalledTimes(4);
    vi.unstubAllGlobals();
    localStorage.setItem(`portcall.draft.${EVENT.slug}`, "{not json");
    expect(readDraft(EVENT)).toBeNull();
  });
});

describe("the form begins", () => {
  const other = { ...FORM, name: "Ada" };

  it("with the draft, or empty", () => {
    expect(begin(EVENT, null, null)).toMatchObject({ form: emptyForm(EVENT), restored: null });
    writeDraft(EVENT.slug, { ...DRAFT, at: Date.now() });
    expect(begin(EVENT, null, null)).toMatchObject({ form: FORM, key: "k-1" });
  });

  it("with the submission that the address names, unless the draft is of that one", () => {
    const draft = { ...DRAFT, at: Date.now() };
    writeDraft(EVENT.slug, draft);
    const asked = begin(EVENT, other, "id-1");
    expect(asked).toMatchObject({ form: other, restored: null, key: null });
    // What was begun is not lost by that.
    expect(asked.beside).toEqual(draft);
    expect(readDraft(EVENT)).toEqual(draft);
    writeDraft(EVENT.slug, { ...draft, from: "id-1" });
    expect(begin(EVENT, other, "id-1")).toMatchObject({ form: FORM, from: "id-1", beside: null });
  });

  it("with what was begun last, and what gave way to it beside it", () => {
    const [plain, again] = [
      { ...DRAFT, at: Date.now() - 5 },
      { ...DRAFT, form: other, from: "id-1", at: Date.now() },
    ];
    writeDraft(EVENT.slug, again);
    writeDraft(EVENT.slug, plain, "beside");
    expect(begin(EVENT, null, null)).toMatchObject({ form: other, beside: plain });
    expect(begin(EVENT, FORM, "id-1")).toMatchObject({ form: other, beside: plain });
    dropDraft(EVENT.slug);
    expect(begin(EVENT, null, null)).toMatchObject({
      form: FORM,
      restored: plain.at,
      beside: null,
    });
    writeDraft(EVENT.slug, plain);
    writeDraft(EVENT.slug, again, "beside");
    expect(begin(EVENT, FORM, "id-1")).toMatchObject({ form: other, beside: plain });
  });
});
