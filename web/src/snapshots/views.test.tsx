// The views show what the api really sends: drawn from its own snapshots, nothing is left undefined.
import { type ComponentChild, render } from "preact";
import { afterEach, describe, expect, it } from "vitest";
import type { EventDetail, Pins, Stats, Submission } from "../api/types";
import { PinList } from "../map/PinList";
import { Totals } from "../map/Totals";
import { Evidence } from "../status/Evidence";
import { Timeline } from "../status/Timeline";
import { Verdict } from "../status/Verdict";
import { queueSentence } from "../status/words";
import { Rules } from "../submit/Rules";
import { ownSources, viewSnapshot } from "./read";

const FAILED = viewSnapshot("a_submission_that_failed") as Submission;
const QUEUED = viewSnapshot("a_submission_that_was_just_accepted") as Submission;
const EVENT = viewSnapshot("an_event_with_its_rules") as EventDetail;

const drawn: Element[] = [];

/** The text that people read, one space between its parts. */
function textOf(view: ComponentChild): string {
  const root = document.createElement("div");
  drawn.push(root);
  render(view, root);
  const texts: string[] = [];
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walk.nextNode() !== null) texts.push(walk.currentNode.textContent ?? "");
  const text = texts.join(" ").replace(/\s+/g, " ");
  expect(text).not.toMatch(/undefined|NaN|null|Invalid|\[object/);
  return text;
}

/** What a root holds that came out of a text: elements and attributes that run or load something. */
function obeyed(root: Element | undefined): string[] {
  const found: string[] = [];
  for (const element of root?.querySelectorAll("*") ?? []) {
    if (element.matches("img, script, iframe, style, b, svg[onload]")) found.push(element.tagName);
    for (const { name, value } of element.attributes) {
      if (/^on|^srcdoc$/.test(name) || /javascript:|onmouseover|onerror/.test(value)) {
        found.push(`${name}=${value}`);
      }
    }
  }
  return found;
}

afterEach(() => {
  for (const root of drawn.splice(0)) render(null, root);
});

describe("the status of a submission that failed", () => {
  it("says why, by which limit, and what to do", () => {
    const text = textOf(<Verdict submission={FAILED} />);
    const reason = FAILED.verdict?.reason;
    for (const part of [reason?.message, reason?.code, reason?.hint, "answers", "1 answer"]) {
      expect(text.replaceAll(" : ", ": ")).toContain(part);
    }
    expect(text).toContain("after 1.5 s of grading");
  });

  it("shows the evidence word for word", () => {
    const evidence = FAILED.attempts[0]?.evidence;
    if (evidence == null) throw new Error("the snapshot has no evidence");
    const text = textOf(<Evidence evidence={evidence} images={2} logs="kept" />);
    for (const part of [
      "GET /getconfig HTTP/1.1",
      "vote:80",
      "content-type: application/json",
      '{"name":"Gordon","vote":"Dogs"}',
      "$.vote",
      "listening on :80",
      "docker run --rm -p 8080:80 u/vote:1",
    ]) {
      expect(text).toContain(part);
    }
  });

  it("shows what strangers wrote as text, whatever it is", () => {
    const tricks = [
      "<img src=x onerror=alert(1)>",
      "</pre><script>alert(1)</script>",
      "<svg/onload=alert(1)>",
      '" onmouseover="alert(1)',
      "javascript:alert(1)",
      "`<b>code</b>`",
      "{{7*7}} #{7*7} &lt;b&gt;",
      "\ufffd]0;owned\ufffd",
    ];
    const all = tricks.join(" ");
    const evidence = structuredClone(FAILED.attempts[0]?.evidence);
    const check = evidence?.checks?.[0];
    const container = evidence?.containers?.[0];
    if (evidence == null || check === undefined || container === undefined) {
      throw new Error("the snapshot has no evidence");
    }
    check.failures = [{ path: all, expected: all, got: all, message: all }];
    for (const exchange of check.transcripts) {
      Object.assign(exchange, { request: all, address: all, body: all, error: all });
      exchange.headers = tricks.map((trick) => [trick, trick]);
    }
    check.skipped = all;
    container.log = all;
    evidence.reproduce = [all];
    const submission = structuredClone(FAILED);
    const reason = submission.verdict?.reason;
    if (reason != null) Object.assign(reason, { message: all, hint: all });
    for (const view of [
      <Evidence key="e" evidence={evidence} images={2} logs="kept" />,
      <Verdict key="v" submission={submission} />,
      <Timeline key="t" submission={submission} />,
    ]) {
      textOf(view);
      expect(obeyed(drawn.at(-1))).toEqual([]);
    }
    const html = document.createElement("div");
    html.innerHTML = `${tricks.join("")}<a href="${tricks[4]}">x</a>`;
    expect(obeyed(html).length, "read as HTML they are obeyed").toBeGreaterThan(3);
    const text = textOf(<Evidence evidence={evidence} images={2} logs="kept" />);
    for (const trick of tricks.filter((trick) => !trick.includes("`"))) {
      expect(text).toContain(trick);
    }
  });

  it("shows the steps with their times", () => {
    const text = textOf(<Timeline submission={FAILED} />);
    expect(text).toContain("Images found 20 ms");
    expect(text).toContain("not reached");
  });
});

describe("what else is shown", () => {
  it("is the place in the queue", () => {
    if (QUEUED.queue === null) throw new Error("the snapshot has no queue");
    expect(queueSentence(QUEUED.queue)).toBe(
      "You are 3rd in the queue; it usually takes 12 to 40\u00a0s.",
    );
    expect(textOf(<Timeline submission={QUEUED} />)).toContain("Waiting for a free slot");
  });

  it("are the rules of the event, with every limit", () => {
    const text = textOf(<Rules event={EVENT} />);
    for (const part of [
      "GET /getconfig at one of the images answers 200",
      "$.name equals {participant.name}",
      "redis redis:7-alpine",
      "256 MiB of memory",
      "0.5 CPUs",
      "30 s to listen on port 80",
      "docker.io, 127.0.0.1:5000",
    ]) {
      expect(text).toContain(part);
    }
  });

  it("are the numbers", () => {
    const stats = viewSnapshot("the_numbers_of_an_event") as Stats;
    expect(textOf(<Totals stats={stats} />)).toBe("passed 5 grading 0 queued 2 places 3");
  });

  it("are pins and counts by their names", () => {
    const { features, total } = viewSnapshot("cells_and_pins_of_the_map") as Pins;
    const nothing = () => undefined;
    const text = textOf(
      <PinList
        {...{ features, total, seen: [], arrived: new Set(), world: null }}
        submitHref="/"
        onPin={nothing}
        onCell={nothing}
      />,
    );
    expect(text).toContain("Gordon @docker A place");
    expect(text).toContain("Paris Grace, Ada");
  });
});

it("nothing of the page reads a text as HTML", () => {
  const sinks =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|\beval\(|new Function/;
  const sources = ownSources();
  expect(sources.length).toBeGreaterThan(40);
  expect(sources.filter(({ text }) => sinks.test(text)).map(({ path }) => path)).toEqual([]);
  expect("root.innerHTML = text").toMatch(sinks);
});
