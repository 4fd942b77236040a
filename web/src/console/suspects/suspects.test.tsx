// Images that machines went down under: what is said of them, to whom, and what an operator does.
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Loss, Me, Suspects as Sent, Suspect } from "../../api/admin";
import { ProblemError, problemFrom } from "../../api/problem";
import { setSearch } from "../../router";
import { OrganiserContext } from "../session";
import { SuspectView } from "./Suspect";
import { Suspects } from "./Suspects";
import { circumstances, judgements, lossWords, orderWords, standingWords } from "./words";

const TRICK = "<img src=x onerror=alert(1)>";
const [FIRST, SECOND, THIRD] = ["a", "b", "c"].map((letter) => `sha256:${letter.repeat(64)}`);
const SUBMISSION = "0190a6f0-0000-7000-8000-000000000004";

const loss = (changes: Partial<Loss> = {}): Loss => ({
  at: "2026-03-20T12:00:00.000Z",
  machine: "node n-1",
  worker: "w-1",
  node: "n-1",
  alone: false,
  counts: true,
  submission: SUBMISSION,
  with: 0,
  ...changes,
});

const image = (digest = "", changes: Partial<Suspect> = {}): Suspect => ({
  digest,
  standing: "quarantined",
  changed_at: "2026-03-20T12:00:00.000Z",
  counted: 1,
  graded_alone_now: false,
  losses: [loss()],
  orders: [],
  ...changes,
});

let root: HTMLElement;
let answers: () => Promise<Sent>;
const judge = vi.fn();

const answered = (images: Suspect[], machines: Sent["machines"] = []): void => {
  answers = () => Promise.resolve({ images, machines });
};

beforeEach(() => {
  vi.useFakeTimers();
  judge.mockReset();
  root = document.createElement("div");
  document.body.append(root);
  history.replaceState(null, "", "/console/b3/suspects");
});

afterEach(() => {
  render(null, root);
  root.remove();
  vi.useRealTimers();
});

/** Until what is under way has been drawn, and what that leads to. */
async function rest(ms = 200): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(ms);
  });
}

async function open(digest: string | null = null, role = "operator"): Promise<void> {
  const admin = { suspects: () => answers(), judge } as never;
  const view = (
    <OrganiserContext.Provider value={{ admin, me: { role } as Me }}>
      {digest === null ? <Suspects slug="b3" /> : <SuspectView slug="b3" digest={digest} />}
    </OrganiserContext.Provider>
  );
  await act(() => render(view, root));
  await rest();
}

const find = (testid: string): HTMLElement | null =>
  root.querySelector<HTMLElement>(`[data-testid="${testid}"]`);
const text = (): string => (root.textContent ?? "").replace(/\s+/g, " ");
const listed = (): (string | undefined)[] =>
  [...root.querySelectorAll<HTMLElement>("[data-digest]")].map(({ dataset }) => dataset.digest);

describe("words", () => {
  it("say what counts", () => {
    const of = (losses: number, counted: number): string =>
      lossWords(image("", { losses: Array.from({ length: losses }, () => loss()), counted }));
    expect([of(0, 0), of(1, 1), of(2, 2), of(2, 0), of(3, 1), of(3, 2)]).toEqual([
      "no losses",
      "1 loss, it counts",
      "2 losses, all count",
      "2 losses, none counts any more",
      "3 losses, 1 of them counts",
      "3 losses, 2 of them count",
    ]);
  });

  it("say where and beside what", () => {
    expect(circumstances(loss())).toBe("graded by w-1 on n-1, not alone");
    expect(circumstances(loss({ node: null, alone: true, with: 2 }))).toBe(
      "graded by w-1, alone, with 2 other images of its submission",
    );
  });

  it("offer what changes something, and leave newer words as they are", () => {
    expect(judgements("suspected")).toEqual(["cleared", "quarantined", "poison"]);
    expect(judgements("poison")).toEqual(["cleared", "quarantined"]);
    expect([standingWords("frozen").mark, orderWords("frozen")]).toEqual([
      "frozen",
      "Said that it is frozen",
    ]);
  });
});

describe("the list", () => {
  it("says that there is none", async () => {
    answered([]);
    await open();
    expect(text()).toContain("No machine went down under an image.");
  });

  it("says why it is not there", async () => {
    answers = () => Promise.reject(new ProblemError(problemFrom(503, null)));
    await open();
    expect(find("trouble")?.dataset.kind).toBe("busy");
  });

  it("shows images, and the machines that lost several of them", async () => {
    answered(
      [image(FIRST, { graded_alone_now: true }), image(SECOND, { standing: "cleared" })],
      [
        { machine: "node n-1", images: 2, cleared: 1 },
        { machine: "node n-2", images: 1, cleared: 0 },
      ],
    );
    await open();
    expect(listed()).toEqual([FIRST, SECOND]);
    expect(root.querySelector(`[data-digest="${FIRST}"] a`)?.getAttribute("href")).toBe(
      `/console/b3/suspects/${FIRST}`,
    );
    expect(text()).toContain("is graded alone now");
    const machines = [...root.querySelectorAll<HTMLElement>("[data-machine]")];
    expect(machines.map((one) => one.textContent)).toEqual(["node n-12 images1 cleared since"]);
  });

  it("shows one standing, as the address says", async () => {
    answered([image(FIRST), image(SECOND, { standing: "cleared" })]);
    await open();
    setSearch("?standing=cleared", "push");
    await rest();
    expect(listed()).toEqual([SECOND]);
    expect(root.querySelector('[aria-current="true"]')?.textContent).toBe("Cleared");
    setSearch("?standing=poison", "push");
    await rest();
    expect(text()).toContain("No image has this standing.");
  });

  it("keeps its order while somebody reads it", async () => {
    answered([image(FIRST), image(SECOND)]);
    await open();
    answered([image(THIRD), image(SECOND, { standing: "poison" }), image(FIRST)]);
    await rest(5_100);
    expect(listed()).toEqual([FIRST, SECOND]);
    expect(root.querySelector(`[data-digest="${SECOND}"]`)?.getAttribute("data-standing")).toBe(
      "poison",
    );
    find("show-newer")?.click();
    await rest();
    expect(listed()).toEqual([THIRD, SECOND, FIRST]);
  });
});

describe("one image", () => {
  const TOLD = image(FIRST, {
    losses: [loss({ counts: false }), loss({ machine: `worker ${TRICK}`, worker: TRICK })],
    orders: [
      { standing: "quarantined", by: TRICK, at: "2026-03-20T12:00:00.000Z", note: TRICK },
      { standing: "cleared", by: "Ada", at: "2026-03-20T13:00:00.000Z", note: null },
    ],
  });

  it("has its losses and orders, the newest first, as words only", async () => {
    answered([TOLD]);
    await open(FIRST);
    const losses = [...root.querySelectorAll<HTMLElement>("[data-counts]")];
    expect(losses.map(({ dataset }) => dataset.counts)).toEqual(["yes", "no"]);
    expect(losses[0]?.querySelector("a")?.getAttribute("href")).toBe(
      `/console/b3/submissions/${SUBMISSION}`,
    );
    const orders = [...(find("suspect-orders")?.querySelectorAll("strong") ?? [])];
    expect(orders.map((one) => one.textContent)).toEqual(["Cleared it", "Quarantined it"]);
    expect(root.querySelector("img")).toBeNull();
    expect(text().split(TRICK).length - 1).toBe(4);
  });

  it("is only to be looked at by an organiser, without others' submissions", async () => {
    answered([image(FIRST, { losses: [loss({ submission: null })] })]);
    await open(FIRST, "organiser");
    expect(text()).toContain("Operators can clear, quarantine or refuse it.");
    expect(root.querySelectorAll('button, a[href*="/submissions/"]')).toHaveLength(0);
  });

  it("is judged by an operator after a question, with the reason", async () => {
    answered([image(FIRST)]);
    judge.mockResolvedValue(image(FIRST, { standing: "poison" }));
    await open(FIRST);
    expect(find("judge-quarantined")).toBeNull();
    find("judge-poison")?.click();
    await rest();
    const note = root.querySelector("textarea");
    if (note === null) throw new Error("no room for a reason");
    note.value = "a fork bomb";
    note.dispatchEvent(new Event("input", { bubbles: true }));
    await rest();
    find("act-confirm")?.click();
    await rest();
    expect(judge.mock.calls).toEqual([["b3", FIRST, "poison", "a fork bomb"]]);
    expect(find("confirm")).toBeNull();
    expect(find("suspect")?.dataset.standing).toBe("poison");
  });

  it("of which nothing is known is told so", async () => {
    answered([image(FIRST)]);
    await open(SECOND);
    expect(find("trouble")?.dataset.kind).toBe("missing");
  });
});
