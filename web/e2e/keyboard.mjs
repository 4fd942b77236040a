// With the keyboard alone: the form from top to bottom, and the list of the map.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  closePage,
  mapReady,
  one,
  openBrowser,
  openPage,
  seeState,
  settled,
} from "./parts/page.mjs";
import { GRADED_MS, given, graded, makeEvent, newHandle, onMap } from "./parts/stack.mjs";

const MOST_STEPS = 80;

let window;
let event;

before(
  async () => {
    event = await makeEvent({ title: "Keys" });
    await graded(event.slug);
    await graded(event.slug, { place: { label: "Paris, FR", lat: 48.85, lng: 2.35 } });
    await onMap(event.slug, 2);
    window = await openBrowser();
  },
  { timeout: 180_000 },
);

after(() => window?.close());

/** What has the focus: whether it matches, whether people can see that, and what it is. */
function focused(page, selector) {
  return page.evaluate((wanted) => {
    const element = document.activeElement;
    const box = element?.getBoundingClientRect();
    const shown = box !== undefined && box.width > 0 && box.height > 0;
    const style = element === null ? null : getComputedStyle(element);
    const ringed =
      style !== null &&
      ((style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) > 0) ||
        style.boxShadow !== "none");
    return {
      hit: element?.matches(wanted) ?? false,
      name: `${element?.tagName} ${element?.getAttribute("name") ?? element?.textContent?.slice(0, 40)}`,
      shown,
      ringed,
    };
  }, selector);
}

/** Presses Tab until `selector` has the focus; every stop on the way must be visible as such. */
async function tabTo(page, selector) {
  const seen = [];
  for (let step = 0; step < MOST_STEPS; step += 1) {
    await page.keyboard.press("Tab");
    const stop = await focused(page, selector);
    seen.push(stop.name);
    assert.ok(stop.shown, `the focus is on something that is not to be seen: ${stop.name}`);
    assert.ok(stop.ringed, `nobody sees that the focus is on: ${stop.name}`);
    if (stop.hit) return;
  }
  assert.fail(`${selector} is not reached by Tab; on the way were ${seen.join(", ")}`);
}

test("a submission is sent and followed with the keyboard alone", {
  timeout: 2 * GRADED_MS,
}, async () => {
  const page = await openPage(window.context, `/events/${event.slug}/submit`);
  await page.waitForSelector(one("submit-form"));
  await tabTo(page, '[name="participant.name"]');
  await page.keyboard.type("Gordon");
  await tabTo(page, '[name="participant.handle"]');
  await page.keyboard.type(newHandle());
  await tabTo(page, '[name="place.label"]');
  // What is suggested for its beginning gives way to what is suggested for all of it.
  const asked = page.waitForResponse((answer) => answer.url().endsWith("q=San%20Francisco"));
  await page.keyboard.type("San Francisco");
  await asked;
  await settled(page);
  await page.waitForSelector(one("place-option"));
  await page.keyboard.press("ArrowDown");
  await page.waitForSelector(`${one("place-option")}[aria-selected="true"]`);
  await page.keyboard.press("Enter");
  await page.waitForSelector(one("place-option"), { state: "hidden" });
  assert.match(await page.inputValue('[name="place.label"]'), /San Francisco/);
  await tabTo(page, '[name="images.0"]');
  await page.keyboard.type(given("PORTCALL_TEST_IMAGE"));
  await tabTo(page, '[name="answers.vote"]');
  const isSelect = await page.evaluate(() => document.activeElement?.tagName === "SELECT");
  // The first choice is Cats.
  await page.keyboard.press(isSelect ? "ArrowDown" : "Space");
  await tabTo(page, one("submit-button"));
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/submissions\/[\w-]+$/);
  await page.waitForFunction(() => document.activeElement?.id === "main");
  await seeState(page, "passed");
  await tabTo(page, one("map-link"));
  await page.keyboard.press("Enter");
  await page.waitForSelector(one("pin-card"));
  await closePage(page);
});

test("a wrong form leads the focus to what is wrong", async () => {
  const page = await openPage(window.context, `/events/${event.slug}/submit`);
  await page.waitForSelector(one("submit-form"));
  await tabTo(page, one("submit-button"));
  await page.keyboard.press("Enter");
  await page.waitForSelector(one("error-summary"));
  await page.waitForFunction((summary) => {
    const focus = document.activeElement;
    return focus?.closest(summary) !== null || focus?.getAttribute("aria-invalid") === "true";
  }, one("error-summary"));
  // What is wrong is said of the field itself, to those who do not see it beside it.
  const name = page.locator('[name="participant.name"]');
  assert.equal(await name.getAttribute("aria-invalid"), "true");
  const told = await name.evaluate((input) =>
    (input.getAttribute("aria-describedby") ?? "")
      .split(" ")
      .map((id) => document.getElementById(id)?.textContent)
      .join(" "),
  );
  assert.match(told, /name/i);
  await closePage(page);
});

test("the list says what the map shows, and opens it, with the keyboard alone", async () => {
  const page = await openPage(window.context, `/events/${event.slug}#-40,44,3`);
  await mapReady(page);
  await page.waitForSelector(`${one("pin-list")} [data-submission]`);
  // The way past all controls.
  await page.keyboard.press("Tab");
  assert.ok((await focused(page, ".skip")).hit, "the first stop is the way to the content");
  await page.keyboard.press("Enter");

  await tabTo(page, one("map"));
  const zoom = Number(await page.getAttribute(one("map"), "data-zoom"));
  await page.keyboard.press("+");
  await page.waitForFunction(
    (old) =>
      Number(document.querySelector('[data-testid="map"]')?.getAttribute("data-zoom")) > old + 0.5,
    zoom,
  );
  await page.keyboard.press("-");
  await page.waitForFunction(
    (old) =>
      Math.abs(
        Number(document.querySelector('[data-testid="map"]')?.getAttribute("data-zoom")) - old,
      ) < 0.2,
    zoom,
  );
  const place = () => page.evaluate(() => location.hash.split(",")[0]);
  await page.keyboard.press("ArrowRight");
  const hash = await place();
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction((old) => location.hash.split(",")[0] !== old, hash);

  await tabTo(page, `${one("pin-list")} button`);
  const name = await page.evaluate(() => document.activeElement?.textContent);
  await page.keyboard.press("Enter");
  await page.waitForSelector(one("pin-card"));
  await page.waitForFunction(
    (card) => document.activeElement?.closest(card) !== null,
    one("pin-card"),
  );
  assert.ok(name.includes("Gordon"));
  await tabTo(page, `${one("pin-card")} a`);
  await page.keyboard.press("Escape");
  await page.waitForSelector(one("pin-card"), { state: "detached" });
  // The focus is not lost with the card.
  await page.waitForFunction(() => document.activeElement !== document.body);
  await closePage(page);
});
