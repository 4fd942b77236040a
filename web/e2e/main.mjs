// The page on a running stack, as a person uses it: submit, follow, see the pin arrive, see it join a count.
//
// PORTCALL_TEST_BASE_URL   where the page is (http://127.0.0.1:8080)
// PORTCALL_TEST_IMAGE      an image that passes the event's rules
// PORTCALL_TEST_BAD_IMAGE  an image that is asked and fails them (the good one, under a wrong name)
// PORTCALL_TEST_EVENT      the event's slug (the one that the front page would show first)
// PORTCALL_TEST_NAME       the name that the image answers with (Gordon); the handles are always new ones
// PORTCALL_TEST_VOTE       the choice that the image answers with (the first that the event offers)
// PORTCALL_TEST_CHROMIUM   the browser (Debian's own)
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { startBrowser, watchPage } from "./browser.mjs";

const BASE = (process.env.PORTCALL_TEST_BASE_URL || "http://127.0.0.1:8080").replace(/\/$/, "");
const IMAGE = process.env.PORTCALL_TEST_IMAGE;
const BAD_IMAGE = process.env.PORTCALL_TEST_BAD_IMAGE ?? IMAGE;
const NAME = process.env.PORTCALL_TEST_NAME ?? "Gordon";
const GRADED_MS = 120_000;
const SHOWN_MS = 20_000;
/** Close enough that San Francisco and Oakland stand apart. */
const BAY = "#-122.35,37.79,11";
const OAKLAND = { label: "Oakland, California, US", lat: 37.8044, lng: -122.2712 };

const one = (id) => `[data-testid="${id}"]`;
const unique = (who) => `${who} ${randomUUID().slice(0, 8)}`;
const handle = () => `@e2e_${randomUUID().slice(0, 8)}`;

let browser;
let context;
let event;

before(async () => {
  assert.ok(IMAGE, "PORTCALL_TEST_IMAGE has to name an image that passes");
  const { events } = await getJson("/api/v1/events");
  const slug = process.env.PORTCALL_TEST_EVENT ?? events.find(({ open }) => open)?.slug;
  assert.ok(slug, "no event is open");
  event = await getJson(`/api/v1/events/${slug}`);
  browser = await startBrowser();
  context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  context.setDefaultTimeout(SHOWN_MS);
});

after(async () => {
  await browser?.close();
});

async function getJson(path) {
  const response = await fetch(BASE + path);
  assert.equal(response.status, 200, path);
  return response.json();
}

function answers() {
  const given = {};
  for (const { name, one_of } of event.answers) {
    given[name] = one_of === null ? "anything" : (process.env.PORTCALL_TEST_VOTE ?? one_of[0]);
  }
  return given;
}

async function openPage(path) {
  const page = await context.newPage();
  page.wrongs = watchPage(page, new URL(BASE).origin);
  await page.goto(BASE + path);
  // A reload would lose this.
  await page.evaluate(() => {
    globalThis.stayed = true;
  });
  return page;
}

async function closePage(page) {
  assert.equal(await page.evaluate(() => globalThis.stayed), true, "the page was reloaded");
  assert.deepEqual(page.wrongs, []);
  await page.close();
}

/** Keeps every value that the state on the page takes, however short. */
async function recordStates(page) {
  await page.evaluate(() => {
    globalThis.states = [];
    const note = () => {
      const element = document.querySelector('[data-testid="submission-state"]');
      const state = element?.getAttribute("data-state");
      if (state && globalThis.states.at(-1) !== state) globalThis.states.push(state);
    };
    new MutationObserver(note).observe(document.body, {
      subtree: true,
      childList: true,
      attributes: true,
      attributeFilter: ["data-state"],
    });
  });
}

async function fillForm(page, name, image) {
  await page.fill('[name="participant.name"]', name);
  await page.fill('[name="place.label"]', "San Francisco");
  const option = page
    .locator(one("place-option"))
    .filter({ hasText: /\b(US|USA|United States)\b/ });
  await option.first().click();
  for (let index = 0; index < Math.max(1, event.images.min); index += 1) {
    await page.fill(`[name="images.${index}"]`, image);
  }
  for (const [field, value] of Object.entries(answers())) {
    const input = page.locator(`[name="answers.${field}"]`);
    const radio = page.locator(`input[type="radio"][name="answers.${field}"][value="${value}"]`);
    if ((await radio.count()) > 0) await radio.check();
    else if ((await input.evaluate((element) => element.tagName)) === "SELECT") {
      await input.selectOption(value);
    } else await input.fill(value);
  }
}

async function submit(page) {
  await page.click(one("submit-button"));
  await page.waitForURL(/\/submissions\/[\w-]+$/);
  return new URL(page.url()).pathname.split("/").at(-1);
}

async function seeState(page, state) {
  await page.waitForSelector(`${one("submission-state")}[data-state="${state}"]`, {
    timeout: GRADED_MS,
  });
}

/** A success in Oakland, so that there is somebody to join. */
async function placeNeighbour() {
  const response = await fetch(`${BASE}/api/v1/events/${event.slug}/submissions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      participant: { name: NAME, handle: handle() },
      place: OAKLAND,
      images: Array.from({ length: Math.max(1, event.images.min) }, () => IMAGE),
      answers: answers(),
    }),
  });
  const body = await response.json();
  assert.equal(response.status, 202, JSON.stringify(body));
  const page = await openPage(`/submissions/${body.id}`);
  await seeState(page, "passed");
  await closePage(page);
}

test("a submission passes, its pin arrives live, and zooming out counts it", {
  timeout: 4 * GRADED_MS,
}, async () => {
  await placeNeighbour();
  const watcher = await openPage(`/events/${event.slug}${BAY}`);
  await watcher.waitForSelector(`${one("map")}[data-live="open"]`);
  await watcher.waitForSelector(`${one("pin")}, ${one("cell")}`, { state: "attached" });

  const page = await openPage(`/events/${event.slug}/submit`);
  await page.waitForSelector(one("submit-form"));
  const who = handle();
  await fillForm(page, NAME, IMAGE);
  await page.fill('[name="participant.handle"]', who);
  await recordStates(page);
  const id = await submit(page);
  const arrived = watcher.waitForSelector(`${one("pin")}[data-submission="${id}"]`, {
    state: "attached",
    timeout: GRADED_MS,
  });
  const [pin] = await Promise.all([arrived, seeState(page, "passed")]);
  assert.ok(pin);

  assert.match(await page.title(), /^Passed · /);
  const states = await page.evaluate(() => globalThis.states);
  assert.equal(states.at(-1), "passed");
  assert.ok(states.length > 1, `the page went through ${states.join(", ")} only`);
  const verdict = await page.textContent(one("verdict"));
  assert.ok(verdict.includes(NAME), verdict);
  for (const step of ["queued", "probing", "judging"]) {
    await page.waitForSelector(`[data-step="${step}"][data-step-state="done"]`);
  }
  await page.click(one("map-link"));
  await page.waitForSelector(one("pin-card"));
  assert.ok((await page.textContent(one("pin-card"))).includes(NAME));
  await closePage(page);

  await watcher.click(`${one("pin-list")} [data-submission="${id}"] button`);
  await watcher.waitForSelector(one("pin-card"));
  assert.ok((await watcher.textContent(one("pin-card"))).includes(who));

  await zoomOutTo(watcher, 5);
  await watcher.waitForFunction((submission) => {
    const alone = document.querySelector(`[data-testid="pin"][data-submission="${submission}"]`);
    const counts = [...document.querySelectorAll('[data-testid="cell"]')];
    return alone === null && counts.some((cell) => Number(cell.dataset.count) >= 2);
  }, id);
  await closePage(watcher);
});

async function zoomOutTo(page, goal) {
  const zoom = () => page.getAttribute(one("map"), "data-zoom").then(Number);
  for (let before = await zoom(); before > goal; before = await zoom()) {
    await page.click(one("zoom-out"));
    await page.waitForFunction(
      (start) =>
        Number(document.querySelector('[data-testid="map"]')?.getAttribute("data-zoom")) <=
        start - 0.99,
      before,
    );
  }
}

test("a failing image shows why, word for word, and can be tried again", {
  timeout: 2 * GRADED_MS,
}, async () => {
  const page = await openPage(`/events/${event.slug}/submit`);
  const name = unique("Failing");
  await page.waitForSelector(one("submit-form"));
  await fillForm(page, name, BAD_IMAGE);
  const id = await submit(page);
  await seeState(page, "failed");
  assert.ok((await page.textContent(one("verdict"))).trim().length > 10);
  assert.match(await page.textContent(one("reason-code")), /^[a-z0-9_]+(:.+)?$/);
  const transcript = await page.textContent(one("transcript"));
  assert.match(transcript, /(GET|POST|HEAD|PUT) \//);
  assert.match(await page.textContent(one("reproduce")), /docker run/);

  await page.click(one("try-again"));
  await page.waitForSelector(one("submit-form"));
  assert.equal(await page.inputValue('[name="participant.name"]'), name);
  assert.equal(await page.inputValue('[name="images.0"]'), BAD_IMAGE);
  await page.goBack();
  await seeState(page, "failed");
  assert.ok(page.url().endsWith(id));
  await closePage(page);
});

test("a wrong form is answered beside its fields, and nothing is sent away", async () => {
  const page = await openPage(`/events/${event.slug}/submit`);
  await page.waitForSelector(one("submit-form"));
  await page.click(one("submit-button"));
  await page.waitForSelector(`${one("error-summary")}[data-code="missing"]`);
  await page.waitForSelector(one("error-participant.name"));

  await fillForm(page, unique("Wrong"), "Not an image name");
  await page.click(one("submit-button"));
  await page.waitForSelector(one("error-images.0"));
  assert.ok(page.url().endsWith("/submit"));
  assert.equal(await page.inputValue('[name="images.0"]'), "Not an image name");
  await closePage(page);
});

test("what a browser asks for by itself is there", async () => {
  for (const path of ["/favicon.ico", "/"]) {
    const response = await fetch(BASE + path);
    assert.equal(response.status, 200, path);
    await response.arrayBuffer();
  }
  const page = await openPage(`/events/${event.slug}`);
  assert.match(await page.textContent(one("credits")), /GeoNames.*CC BY 4.0.*Natural Earth/);
  for (const href of await page.$$eval('link[rel="icon"]', (links) => links.map((l) => l.href))) {
    const response = await fetch(href);
    assert.equal(response.status, 200, href);
    assert.match(response.headers.get("content-type"), /^image\//);
  }
  await closePage(page);
});

test("an address that leads nowhere says so", async () => {
  const page = await openPage("/submissions/00000000-0000-7000-8000-000000000000");
  await page.waitForSelector(`${one("notice")} h1`);
  await closePage(page);
});
