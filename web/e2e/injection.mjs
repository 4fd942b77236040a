// Sixty strings that mean harm, in every field that people or containers control, on every view: they are
// text, or they are refused, and that is said as text. Nothing runs, and no policy has to stop anything.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { answerFiles, htmlAnswer, jsonAnswer } from "./parts/answers.mjs";
import {
  findings,
  harmless,
  keepReports,
  lookAt,
  PAYLOADS,
  packed,
  REFUSED,
  shows,
  TAKEN,
} from "./parts/harm.mjs";
import { pushImage } from "./parts/images.mjs";
import { mapReady, one, openBrowser, openPage, seeState, visit } from "./parts/page.mjs";
import {
  ask,
  BASE,
  eventFile,
  GRADED_MS,
  getJson,
  given,
  graded,
  makeEvent,
  organise,
  send,
  short,
  submission,
  until,
} from "./parts/stack.mjs";
import { keepToken } from "./parts/views.mjs";

const ANY_CHECK = 'name = "config"\nget = "/getconfig"\nstatus = 200';
const WORD = { name: "word", label: "A word" };
const AT_ONCE = 6;

let window;
let event;
/** The submissions of `TAKEN`, in its order. */
let sent;

/** Does something for each, some at a time. */
async function each(items, work) {
  const done = [];
  for (let start = 0; start < items.length; start += AT_ONCE) {
    const some = items.slice(start, start + AT_ONCE);
    done.push(...(await Promise.all(some.map((item, index) => work(item, start + index)))));
  }
  return done;
}

/** Does something for each on one of two pages, each of which goes through half of them. */
async function onTwoPages(path, items, work) {
  const pages = await Promise.all([0, 1].map(() => openPage(window.context, path)));
  const walks = pages.map(async (page, lane) => {
    for (let index = lane; index < items.length; index += 2) await work(page, items[index], index);
  });
  await Promise.all(walks);
  for (const page of pages) await page.close();
}

/** A tag makes participants of different runs, and of equal keys, different people. */
function withPayload(text, index) {
  return {
    participant: { name: text, handle: text, contact: text },
    place: { label: text, lat: ((index * 7) % 120) - 55, lng: ((index * 23) % 340) - 170 },
    answers: { word: text },
  };
}

before(
  async () => {
    event = await makeEvent({ title: "Strings", answers: [WORD], checks: [ANY_CHECK] });
    window = await openBrowser({ acceptDownloads: true });
    await keepReports(window.context);
    await keepToken(window.context, given("PORTCALL_TEST_TOKEN"));
    sent = await each(
      TAKEN,
      async (text, index) => (await send(event.slug, withPayload(text, index))).id,
    );
  },
  { timeout: 120_000 },
);

after(() => window?.close());

test("harm is seen where there is some", async () => {
  assert.equal(PAYLOADS.length, 60);
  assert.equal(new Set(PAYLOADS.map(({ text }) => text)).size, 60);
  const page = await openPage(window.context, "/");
  await page.evaluate(() => {
    try {
      document.body.innerHTML = "<img src=x onerror=pwned=1>";
    } catch {
      // The policy refuses it, and reports that.
    }
    const link = document.createElement("a");
    link.setAttribute("href", "javascript:pwned=1");
    document.body.append(link, document.createElement("iframe"));
    globalThis.pwned = 1;
  });
  await page.waitForFunction(() => globalThis.reports.length > 0);
  const found = (await findings(page)).join("\n");
  for (const part of [
    "require-trusted-types-for",
    "a script ran",
    "a href=javascript:",
    "<iframe>",
  ]) {
    assert.ok(found.includes(part), `${part} is not in:\n${found}`);
  }
  await page.close();
});

test("text fields refuse what cannot be seen, and say so as text", {
  timeout: 60_000,
}, async () => {
  for (const { text, refused } of REFUSED) {
    const changes = withPayload(text, 0);
    const { status, body } = await ask(`/api/v1/events/${event.slug}/submissions`, {
      method: "POST",
      body: submission(changes),
    });
    assert.equal(status, 422);
    const found = body.errors.map(({ pointer, code }) => `${pointer} ${code}`).sort();
    const fields = ["/answers/word", "/participant/contact", "/participant/handle"];
    const wanted = [...fields, "/participant/name", "/place/label"].map((p) => `${p} ${refused}`);
    assert.deepEqual(found, wanted);

    const page = await openPage(window.context, `/events/${event.slug}/submit`);
    await page.waitForSelector(one("submit-form"));
    for (const name of ["participant.name", "participant.handle", "place.label", "answers.word"]) {
      await page.fill(`[name="${name}"]`, text);
    }
    await page.fill('[name="images.0"]', given("PORTCALL_TEST_IMAGE"));
    await page.click(one("submit-button"));
    for (const name of ["participant.name", "participant.handle", "place.label", "answers.word"]) {
      const said = await page.textContent(one(`error-${name}`));
      assert.match(said, /U\+20[0-9A-F]{2}/, name);
    }
    await harmless(page, "a refused form");
    await page.close();
  }
});

test("no such string is an image name, and the form says so as one types", {
  timeout: 120_000,
}, async () => {
  const texts = PAYLOADS.map(({ text }) => text);
  await each(texts, async (text) => {
    const { status, body } = await ask(
      `/api/v1/events/${event.slug}/images/check?ref=${encodeURIComponent(text)}`,
    );
    assert.equal(status, 200, text);
    assert.equal(body.canonical, null, text);
    assert.ok(body.problem.detail.length > 10, text);
  });
  const several = await makeEvent({ title: "Images", checks: [ANY_CHECK], answers: [] });
  const fours = texts.flatMap((_, at) => (at % 4 === 0 ? [texts.slice(at, at + 4)] : []));
  await onTwoPages(`/events/${several.slug}/submit`, fours, async (page, four) => {
    await page.waitForSelector(one("submit-form"));
    while ((await page.locator('[name^="images."]').count()) < 4)
      await page.click(one("add-image"));
    for (const [index, text] of four.entries()) await page.fill(`[name="images.${index}"]`, text);
    for (let index = 0; index < 4; index += 1) {
      const hint = page.locator(`${one(`image-hint-${index}`)}[data-state="bad"]`);
      await hint.waitFor();
      assert.ok((await hint.textContent()).trim().length > 10);
    }
    await harmless(page, `images ${four.join(" ")}`);
    // Another name again, so that no old hint is taken for the new one's.
    for (let index = 0; index < 4; index += 1)
      await page.fill(`[name="images.${index}"]`, "nginx:1");
    await page.waitForSelector('[data-testid^="image-hint-"][data-state="bad"]', {
      state: "detached",
    });
  });
});

test("what organisers write is text: titles, labels, choices", { timeout: 180_000 }, async () => {
  const slug = `e2e-${short()}`;
  const answers = PAYLOADS.filter(({ refused }) => refused === undefined).map(
    ({ text }, index) => ({
      name: `a${index}`,
      label: text,
      ...(index % 2 === 0 ? {} : { one_of: [text, "Cats"] }),
    }),
  );
  const rules = (title) => eventFile({ slug, title, answers, checks: [ANY_CHECK] });
  await makeEvent({ slug, title: "Titles", answers, checks: [ANY_CHECK] });
  const form = await lookAt(
    window.context,
    `/events/${slug}/submit`,
    (page) => page.waitForSelector(one("submit-form")),
    TAKEN,
  );
  await form.close();
  await titlesAreText();

  // The file itself, in the editor, with a mistake in it that is told with its line.
  const page = await openPage(window.context, `/console/${slug}/rules`);
  await page.waitForSelector(one("rules-editor"));
  await shows(page, [JSON.stringify(TAKEN[0])], "the rules");
  for (const { text } of REFUSED) {
    await page.fill(one("rules-editor"), rules(text));
    await page.click(one("rules-check"));
    await page.waitForSelector(one("rules-problem"));
    assert.match(await page.textContent(one("rules-problem")), /title/);
    await harmless(page, "refused rules");
  }
  await page.close();
});

/** Several events at a time are called so; the api keeps in mind for a moment what they were called. */
async function titlesAreText() {
  const titles = packed(TAKEN, 120);
  const made = await each(Array.from({ length: AT_ONCE }), () =>
    makeEvent({ checks: [ANY_CHECK], answers: [] }),
  );
  const named = titles.map((title, index) => ({ title, slug: made[index % AT_ONCE].slug, index }));
  while (named.length > 0) {
    const some = named.splice(0, AT_ONCE);
    await Promise.all(some.map(rename));
    await until("the events are called so", async () => {
      const { events } = await getJson("/api/v1/events");
      return some.every(({ slug, title }) => events.find((e) => e.slug === slug).title === title);
    });
    await onTwoPages("/console", some, lookAtTitle);
  }
}

async function rename({ slug, title }) {
  const source = eventFile({ slug, title, answers: [], checks: [ANY_CHECK] });
  await organise(`/events/${slug}/rules`, { source }, "PUT");
  await until(
    `the event is called ${title}`,
    async () => (await getJson(`/api/v1/events/${slug}`)).title === title,
  );
}

async function lookAtTitle(page, { slug, title, index }) {
  const paths = ["/console", `/events/${slug}/submit`, `/console/${slug}`];
  // What draws a map shows the title in the same way each time; every fourth is enough.
  if (index % 4 === 0) paths.push(`/events/${slug}`, `/events/${slug}/board`);
  for (const path of paths) {
    await visit(page, path);
    await page.waitForFunction((text) => document.body.textContent.includes(text), title);
    await harmless(page, `${path}: ${title}`);
  }
}

test("what participants write is text: map, cards, list, board, status", {
  timeout: 2 * GRADED_MS,
}, async () => {
  await onMapWithin(sent.length);
  const map = await lookAt(window.context, `/events/${event.slug}#-0.001,20,1.5`, async (page) => {
    await mapReady(page);
    await page.waitForSelector(`${one("pin-list")} [data-submission]`);
  });
  const known = `${one("pin-list")} [data-submission]`;
  const listed = await map.$$eval(known, (rows) => rows.map((row) => row.dataset.submission));
  for (const [index, id] of listed.entries()) {
    // The last card has led the map to its pin: back to where all of them are, by an address that is new.
    await map.evaluate(
      (hash) => {
        location.hash = hash;
      },
      `${index / 1000},20,1.5`,
    );
    await map.click(`${one("pin-list")} [data-submission="${id}"] button`);
    const text = TAKEN[sent.indexOf(id)];
    await map.waitForFunction(
      ([card, wanted]) => document.querySelector(card)?.textContent.includes(wanted),
      [one("pin-card"), text],
    );
    await harmless(map, `the card of ${text}`);
  }
  await map.close();

  const board = await lookAt(window.context, `/events/${event.slug}/board`, (page) =>
    page.waitForSelector(`${one("board-recent")} [data-submission]`),
  );
  await board.close();

  await onTwoPages(`/submissions/${sent[0]}`, sent, async (page, id, index) => {
    const text = TAKEN[index];
    await visit(page, `/submissions/${id}`);
    await page.waitForFunction(
      (wanted) => document.querySelector("h1")?.textContent.includes(wanted),
      text,
    );
    await seeState(page, "passed");
    await harmless(page, `the status of ${text}`);
    const times = await page.evaluate((t) => document.body.textContent.split(t).length - 1, text);
    // Name, handle, place and answer at least.
    assert.ok(times >= 4, `${text} is shown ${times} times`);
    if (index % 6 > 1) return;
    // Another try begins with the same strings.
    await visit(page, `/events/${event.slug}/submit?from=${id}`);
    await page.waitForFunction(
      (wanted) => document.querySelector('[name="participant.name"]')?.value === wanted,
      text,
    );
    await harmless(page, `another try of ${text}`);
  });
});

async function onMapWithin(count) {
  await until(
    `${count} have passed`,
    async () => (await ask(`/api/v1/events/${event.slug}/pins?zoom=0`)).body.total >= count,
    GRADED_MS,
  );
}

const judge = (digest, standing, note) =>
  organise(`/suspects/${digest}`, { standing, note, event: event.slug });

test("what participants and organisers write is text: the console, notes, exports", {
  timeout: 2 * GRADED_MS,
}, async () => {
  await onMapWithin(sent.length);
  await each(sent, async (id, index) => {
    await organise(`/submissions/${id}/hide`, { note: TAKEN[index] });
    await organise(`/submissions/${id}/unhide`, { note: TAKEN[index] });
  });
  for (const note of packed(TAKEN, 500)) {
    const made = await organise(`/events/${event.slug}/regrades`, { submissions: [sent[0]], note });
    await organise(`/regrades/${made.id}/discard`, undefined, "POST");
  }
  const digest = `sha256:${randomBytes(32).toString("hex")}`;
  const said = packed(TAKEN, 500);
  for (const note of said) await judge(digest, "quarantined", note);
  const desk = `/console/${event.slug}`;
  const suspect = await lookAt(
    window.context,
    `${desk}/suspects/${digest}`,
    (page) => page.waitForSelector(one("suspect-orders")),
    said,
  );
  await suspect.close();
  await judge(digest, "cleared", "It was a test");
  const regrades = await lookAt(
    window.context,
    `${desk}/regrades`,
    (page) => page.waitForSelector(one("regrade-list")),
    packed(TAKEN, 500).slice(0, 1),
  );
  await regrades.close();
  const audit = await lookAt(window.context, `${desk}/audit`, (page) =>
    page.waitForSelector(one("audit-list")),
  );
  await harmless(audit, "audit");
  await audit.close();

  const search = await lookAt(window.context, `${desk}/submissions`, (page) =>
    page.waitForSelector(`${one("console-results")} [data-submission]`),
  );
  await search.close();
  await onTwoPages(`${desk}/submissions`, sent, async (page, id, index) => {
    await visit(page, `${desk}/submissions/${id}`);
    await page.waitForFunction(
      (text) => document.querySelector("main")?.textContent.split(text).length > 4,
      TAKEN[index],
    );
    await harmless(page, `the console's ${TAKEN[index]}`);
  });
  // As a query, too, from the address and into the field.
  await onTwoPages(`${desk}/submissions`, PAYLOADS, async (page, { text }) => {
    await visit(page, `${desk}/submissions?q=${encodeURIComponent(text)}`);
    await page.waitForFunction(
      ([input, value]) => document.querySelector(input)?.value === value,
      [one("console-search"), text],
    );
    await harmless(page, `a search for ${text}`);
  });
});

test("an export opened as text is text", { timeout: GRADED_MS }, async () => {
  for (const format of ["csv", "json"]) {
    const path = `/api/v1/admin/events/${event.slug}/export?format=${format}`;
    const answer = await ask(path, { token: given("PORTCALL_TEST_TOKEN") });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    assert.match(answer.headers.get("content-type"), format === "csv" ? /^text\/csv/ : /json/);
    assert.match(answer.headers.get("content-disposition") ?? "", /^attachment/);

    const page = await openPage(window.context, `/console/${event.slug}/submissions`);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.click(one(`export-${format}`)),
    ]);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    assert.ok(text.includes("pwned"), `the ${format} export has the strings`);
    await harmless(page, `the export as ${format}`);
    await page.close();

    await window.context.route("**/opened.txt", (route) =>
      route.fulfill({ body: text, contentType: "text/plain; charset=utf-8" }),
    );
    const opened = await openPage(window.context, "/opened.txt");
    assert.ok((await opened.textContent("body")).includes("pwned"));
    await harmless(opened, `the opened ${format}`);
    await opened.close();
    await window.context.unroute("**/opened.txt");
  }
});

test("what containers answer and log is text", { timeout: 2 * GRADED_MS }, async () => {
  const check = (index) => `name = "c${index}"\nget = "/${index}"\nstatus = 200
json = [{ path = "$.name", equals = "{participant.name}" }]`;
  const half = PAYLOADS.length / 2;
  const texts = PAYLOADS.map(({ text }) => text);
  const own = await makeEvent({
    title: "Answers",
    answers: [],
    images: [1, 1],
    checks: Array.from({ length: half }, (_, index) => check(index)),
  });
  const kinds = [jsonAnswer, htmlAnswer].flatMap((answer) =>
    [texts.slice(0, half), texts.slice(half)].map((some) => ({ answer, some })),
  );
  const ended = await Promise.all(
    kinds.map(async ({ answer, some }) => {
      const image = await pushImage({
        env: { APP_MODE: "chosen" },
        files: answerFiles(some, answer),
      });
      return graded(own.slug, { images: [image], answers: {} }, "failed");
    }),
  );
  const page = await openPage(window.context, "/");
  for (const [index, { id }] of ended.entries()) {
    const { answer, some } = kinds[index];
    for (const path of [`/submissions/${id}`, `/console/${own.slug}/submissions/${id}`]) {
      await visit(page, path);
      await page.waitForSelector(one("transcript"), { state: "attached" });
      await page.evaluate(() => {
        for (const details of document.querySelectorAll("details")) details.open = true;
      });
      await harmless(page, path);
      // What nobody sees was made harmless on its way in: that is not there word for word.
      const plain = some.filter((text) => TAKEN.includes(text));
      const said = answer === jsonAnswer ? plain.map((text) => JSON.stringify(text)) : plain;
      await shows(page, said, `${path}: bodies`);
      await shows(
        page,
        plain.map((text) => `: ${text}`),
        `${path}: headers`,
      );
      const log = await page.textContent(one("log"));
      assert.ok(
        plain.every((text) => log.includes(text)),
        `${path}: the log is shown`,
      );
    }
    await visit(page, "/");
  }
  await page.close();
});

test("addresses are text", { timeout: 120_000 }, async () => {
  await onTwoPages("/console", PAYLOADS, async (page, { text }, index) => {
    const word = encodeURIComponent(text);
    for (const path of [
      `/submissions/${word}`,
      `/events/${word}`,
      ...(index % 6 < 2 ? [`/events/${event.slug}?x=${word}#${word}`] : []),
      `/events/${event.slug}/submit?from=${word}`,
      `/console/${event.slug}/submissions/${word}`,
      `/console/${event.slug}/suspects/${word}?standing=${word}`,
      `/console/${event.slug}/submissions?state=${word}&reason=${word}&country=${word}&after=${word}`,
    ]) {
      await visit(page, path);
      await page.waitForFunction(
        () => document.querySelector("main, .map, [data-testid='map']") !== null,
      );
      await harmless(page, path);
    }
    assert.equal(await page.evaluate(() => globalThis.stayed), true);
  });
  for (const { text } of PAYLOADS) {
    const response = await fetch(`${BASE}/submissions/${encodeURIComponent(text)}`);
    const body = await response.text();
    assert.ok(!body.includes(text) || text === "__proto__", `the document says ${text}`);
  }
});
