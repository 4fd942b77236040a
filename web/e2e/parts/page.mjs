// A page in the browser, and what people do on it.
import assert from "node:assert/strict";
import { startBrowser, watchPage } from "./browser.mjs";
import { alsoPictured } from "./pictures.mjs";
import { BASE, GRADED_MS, given, ORIGIN, SHOWN_MS, until } from "./stack.mjs";

export const one = (id) => `[data-testid="${id}"]`;

/** A browser with one window's settings; `close` ends it. */
export async function openBrowser(settings = {}) {
  const browser = await startBrowser();
  alsoPictured(browser);
  /** Another one who has never been here. */
  const stranger = async () => {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 800 },
      ...settings,
    });
    context.setDefaultTimeout(SHOWN_MS);
    return context;
  };
  return { context: await stranger(), stranger, browser, close: () => browser.close() };
}

export async function openPage(context, path) {
  const page = await context.newPage();
  page.wrongs = watchPage(page, ORIGIN);
  page.asked = watchRequests(page);
  await page.goto(BASE + path);
  // A reload would lose this.
  await page.evaluate(() => {
    globalThis.stayed = true;
  });
  return page;
}

/** What a page waits for right now; streams do not count, they never end. */
function watchRequests(page) {
  const asked = new Set();
  page.on("request", (request) => {
    if (!new URL(request.url()).pathname.endsWith("/live")) asked.add(request);
  });
  for (const end of ["requestfinished", "requestfailed"]) {
    page.on(end, (request) => asked.delete(request));
  }
  return asked;
}

/** Nothing is loading any more, twice in a row, so that what an answer leads to is there, too. */
export async function settled(page) {
  let before = false;
  await until(`${page.url()} has settled`, async () => {
    const loading = await page.locator(one("loading")).count();
    const now = loading === 0 && page.asked.size === 0;
    const twice = now && before;
    before = now;
    return twice;
  });
}

/** Goes to another view without a new document, as a link does. */
export async function visit(page, path) {
  await page.evaluate((to) => {
    history.pushState(null, "", to);
    dispatchEvent(new PopStateEvent("popstate"));
  }, path);
}

export async function closePage(page) {
  assert.equal(await page.evaluate(() => globalThis.stayed), true, "the page was reloaded");
  assert.deepEqual(page.wrongs, []);
  await page.close();
}

/** Keeps every value that the state on the page takes, however short. */
export async function recordStates(page) {
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

export async function seeState(page, state) {
  await page.waitForSelector(`${one("submission-state")}[data-state="${state}"]`, {
    timeout: GRADED_MS,
  });
}

/** Fills the form of an event that asks for a vote. */
export async function fillForm(page, { name, image, vote = "Cats", handle }) {
  await page.waitForSelector(one("submit-form"));
  await page.fill('[name="participant.name"]', name);
  if (handle !== undefined) await page.fill('[name="participant.handle"]', handle);
  await page.fill('[name="place.label"]', "San Francisco");
  await page.locator(one("place-option")).filter({ hasText: ", US" }).first().click();
  await page.fill('[name="images.0"]', image);
  const radio = page.locator(`input[type="radio"][name="answers.vote"][value="${vote}"]`);
  if ((await radio.count()) > 0) await radio.check();
  else await page.selectOption('select[name="answers.vote"]', vote);
}

export async function submit(page) {
  await page.click(one("submit-button"));
  await page.waitForURL(/\/submissions\/[\w-]+$/);
  return new URL(page.url()).pathname.split("/").at(-1);
}

export async function zoomOutTo(page, goal) {
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

/** The number that something shows. */
export async function seeNumber(page, id, wanted) {
  await page.waitForFunction(
    ([selector, number]) => {
      const text = document.querySelector(selector)?.textContent.replace(/[^0-9]/g, "");
      return text !== undefined && text !== "" && Number(text) === number;
    },
    [one(id), wanted],
  );
}

/** The map stands, with its land and the answer to its first question. */
export async function mapReady(page) {
  await page.waitForSelector(".land", { state: "attached" });
  await page.waitForSelector(`${one("pin")}, ${one("cell")}, .panel-empty`, { state: "attached" });
}

/** Signs in, on a page that asks for a token. */
export async function signIn(page, token = given("PORTCALL_TEST_TOKEN")) {
  await page.fill(one("console-token"), token);
  await page.click(one("console-signin-button"));
  await page.waitForSelector(one("console-signin"), { state: "detached" });
}

/** Opens a page of the console, signed in. */
export async function openConsole(context, path, token) {
  const page = await openPage(context, path);
  await page.waitForSelector(`${one("console-signin")}, ${one("console-signout")}`);
  if ((await page.locator(one("console-signin")).count()) > 0) await signIn(page, token);
  return page;
}
