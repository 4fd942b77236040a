// Submitting, as a person does: the form, the status as it happens, the pin that arrives, the transcript.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { pushImage } from "./parts/images.mjs";
import {
  closePage,
  fillForm,
  one,
  openBrowser,
  openPage,
  recordStates,
  seeState,
  submit,
  zoomOutTo,
} from "./parts/page.mjs";
import { GRADED_MS, given, graded, makeEvent, newHandle, short } from "./parts/stack.mjs";

/** Close enough that San Francisco and Oakland stand apart. */
const BAY = "#-122.35,37.79,11";
const IMAGE = given("PORTCALL_TEST_IMAGE");

/** So long is the first one graded that the page sees it happen. */
const DELAY_MS = 1_500;

let window;
let event;
let slow;

before(
  async () => {
    event = await makeEvent();
    slow = await pushImage({
      env: {
        APP_MODE: "late-listen",
        APP_DELAY_MS: String(DELAY_MS),
        APP_NAME: "Gordon",
        APP_VOTE: "Cats",
      },
    });
    window = await openBrowser();
  },
  { timeout: 60_000 },
);

after(() => window?.close());

test("a submission passes, its pin arrives live, and zooming out counts it", {
  timeout: 4 * GRADED_MS,
}, async () => {
  // In Oakland, so that there is somebody to join.
  await graded(event.slug);
  const watcher = await openPage(window.context, `/events/${event.slug}${BAY}`);
  await watcher.waitForSelector(`${one("map")}[data-live="open"]`);
  await watcher.waitForSelector(one("pin"), { state: "attached" });

  const page = await openPage(window.context, `/events/${event.slug}/submit`);
  const who = newHandle();
  await fillForm(page, { name: "Gordon", handle: who, image: slow });
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
  assert.ok(verdict.includes("Gordon"), verdict);
  for (const step of ["queued", "probing", "judging"]) {
    await page.waitForSelector(`[data-step="${step}"][data-step-state="done"]`);
  }
  await page.click(one("map-link"));
  await page.waitForSelector(one("pin-card"));
  assert.ok((await page.textContent(one("pin-card"))).includes("Gordon"));
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

test("a failing image shows why, word for word, and can be tried again", {
  timeout: 2 * GRADED_MS,
}, async () => {
  const page = await openPage(window.context, `/events/${event.slug}/submit`);
  // The image answers to Gordon only.
  const name = `Failing ${short()}`;
  await fillForm(page, { name, image: IMAGE });
  const id = await submit(page);
  await seeState(page, "failed");
  assert.ok((await page.textContent(one("verdict"))).trim().length > 10);
  assert.match(await page.textContent(one("reason-code")), /^rule_failed:config$/);
  const transcript = await page.textContent(one("transcript"));
  assert.match(transcript, /GET \/getconfig/);
  assert.match(transcript, /"name":\s*"Gordon"/);
  const failures = await page.textContent(one("failures"));
  assert.ok(failures.includes(name) && failures.includes("Gordon"), failures);
  assert.match(await page.textContent(one("reproduce")), /docker run/);

  await page.click(one("try-again"));
  await page.waitForSelector(one("submit-form"));
  assert.equal(await page.inputValue('[name="participant.name"]'), name);
  assert.equal(await page.inputValue('[name="images.0"]'), IMAGE);
  await page.goBack();
  await seeState(page, "failed");
  assert.ok(page.url().endsWith(id));
  await closePage(page);
});

test("a wrong form is answered beside its fields, and nothing is sent away", async () => {
  const page = await openPage(await window.stranger(), `/events/${event.slug}/submit`);
  await page.waitForSelector(one("submit-form"));
  await page.click(one("submit-button"));
  await page.waitForSelector(`${one("error-summary")}[data-code="missing"]`);
  await page.waitForSelector(one("error-participant.name"));

  await fillForm(page, { name: `Wrong ${short()}`, image: "Not an image name" });
  await page.click(one("submit-button"));
  await page.waitForSelector(one("error-images.0"));
  assert.ok(page.url().endsWith("/submit"));
  assert.equal(await page.inputValue('[name="images.0"]'), "Not an image name");
  await closePage(page);
});

test("what was typed is there again after a reload, and can be thrown away", async () => {
  const context = await window.stranger();
  const page = await openPage(context, `/events/${event.slug}/submit`);
  await fillForm(page, { name: "Grace", image: "Not an image name", vote: "Dogs" });
  await page.waitForSelector(`${one("image-hint-0")}[data-state="bad"]`);
  await page.reload();
  await page.waitForSelector(one("draft-restored"));
  assert.equal(await page.inputValue('[name="participant.name"]'), "Grace");
  assert.match(await page.inputValue('[name="place.label"]'), /San Francisco/);
  assert.ok(await page.isChecked('[name="answers.vote"][value="Dogs"]'));
  await page.click(one("draft-discard"));
  await page.waitForSelector(one("draft-restored"), { state: "detached" });
  assert.equal(await page.inputValue('[name="participant.name"]'), "");
  assert.deepEqual(page.wrongs, []);
  await context.close();
});

test("the secret is shown once, and takes the pin off the map", {
  timeout: 2 * GRADED_MS,
}, async () => {
  const context = await window.stranger();
  const map = await openPage(context, `/events/${event.slug}${BAY}`);
  await map.waitForSelector(`${one("map")}[data-live="open"]`);
  const page = await openPage(context, `/events/${event.slug}/submit`);
  await fillForm(page, { name: "Gordon", handle: newHandle(), image: IMAGE });
  const id = await submit(page);
  await page.waitForSelector(one("secret-once"));
  await seeState(page, "passed");
  const row = `${one("pin-list")} [data-submission="${id}"]`;
  await map.waitForSelector(row);
  await page.reload();
  await seeState(page, "passed");
  assert.equal(await page.locator(one("secret-once")).count(), 0);
  await page.click(one("withdraw"));
  await page.click(one("withdraw-confirm"));
  await page.waitForSelector(one("withdraw-dialog"), { state: "detached" });
  await map.waitForSelector(row, { state: "detached" });
  await page.waitForFunction(() => !document.body.textContent.includes("Gordon"));
  assert.deepEqual([...page.wrongs, ...map.wrongs], []);
  await context.close();
});
