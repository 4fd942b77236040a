// Every view of the page in every state that it has, each with what makes it complete.
import { mapReady, one } from "./page.mjs";

const see = (selector) => (page) => page.waitForSelector(selector);
const seeId = (id) => see(one(id));
const STATE = seeId("submission-state");

async function settled(page) {
  await page.waitForFunction(() => document.querySelector('[data-testid="loading"]') === null);
}

async function openPin(page) {
  await mapReady(page);
  await page
    .locator(`${one("pin-list")} .row`)
    .first()
    .click();
  await page.waitForSelector(one("pin-card"));
}

async function openSpot(page) {
  await mapReady(page);
  await page
    .locator(`${one("area-list")} .row`)
    .first()
    .click();
  await page.waitForSelector(one("pin-card"));
}

async function suggestions(page) {
  await page.waitForSelector(one("submit-form"));
  await page.fill('[name="place.label"]', "San Fr");
  await page.waitForSelector(one("place-option"));
}

async function hints(page) {
  await page.waitForSelector(one("submit-form"));
  await page.fill('[name="images.0"]', "Not an image name");
  await page.waitForSelector(`${one("image-hint-0")}[data-state="bad"]`);
}

async function wrongForm(page) {
  await page.waitForSelector(one("submit-form"));
  await page.fill('[name="participant.handle"]', "@gordon");
  await page.click(one("submit-button"));
  await page.waitForSelector(one("error-summary"));
}

async function failedProof(page) {
  await STATE(page);
  await page.waitForSelector(one("transcript"));
  await page.evaluate(openAll);
}

async function replay(page) {
  await page.waitForSelector(one("board-recent"));
  await page.click(one("replay-button"));
  await page.waitForSelector(`${one("replay")}[data-running="true"]`);
}

/** A question before something is done. */
const asks = (id, dialog) => async (page) => {
  await page.click(one(id));
  await page.waitForSelector(one(dialog));
};

async function withdraw(page) {
  await STATE(page);
  await page.evaluate(openAll);
  await asks("withdraw", "withdraw-dialog")(page);
}

/** In the page: what is folded away is looked at, too. */
function openAll() {
  for (const details of document.querySelectorAll("details")) details.open = true;
}

async function newRegrade(page) {
  await page.waitForSelector(one("regrade-list"));
  await page.click("summary");
  await page.waitForSelector(one("regrade-new"));
}

async function chosen(page) {
  await page
    .locator(`${one("console-results")} tbody input:enabled`)
    .first()
    .check();
  await page.waitForSelector(one("regrade-new"));
}

async function wrongRules(page) {
  await page.fill(one("rules-editor"), "slug = 1\ntitle = ");
  await page.click(one("rules-check"));
  await page.waitForSelector(one("rules-problem"));
}

async function wrongToken(page) {
  await page.fill(one("console-token"), "portcall_not_one");
  await page.click(one("console-signin-button"));
  await page.waitForSelector('[id$="-error"], [data-testid^="error-"]');
}

/**
 * `[name, path, ready, options]`: with `signedIn`, a token is kept before the page loads.
 * What `makeStage` answered says where they are.
 */
export function views(stage) {
  const { slug, empty, closed, soon } = stage;
  const event = `/events/${slug}`;
  const desk = `/console/${slug}`;
  const signedIn = { signedIn: true };
  return [
    ["map", event, mapReady],
    ["map-pin", event, openPin],
    ["map-spot", `${event}#2.35,48.86,11`, openSpot],
    ["map-europe", `${event}#9,48,4.6`, mapReady],
    ["map-pacific", `${event}#178,-15,3.5`, see(".land")],
    ["map-empty", `/events/${empty}`, mapReady],
    ["board", `${event}/board`, seeId("board-recent")],
    ["board-replay", `${event}/board`, replay],
    ["board-empty", `/events/${empty}/board`, seeId("board")],
    ["submit", `${event}/submit`, seeId("submit-form")],
    ["submit-places", `${event}/submit`, suggestions],
    ["submit-hints", `${event}/submit`, hints],
    ["submit-errors", `${event}/submit`, wrongForm],
    ["submit-again", `${event}/submit?from=${stage.failed}`, seeId("submit-form")],
    ["submit-closed", `/events/${closed}/submit`, seeId("submit-form")],
    ["submit-soon", `/events/${soon}/submit`, seeId("submit-form")],
    ["status-passed", `/submissions/${stage.passed}`, STATE],
    ["status-failed", `/submissions/${stage.failed}`, failedProof],
    ["status-waiting", `/submissions/${stage.waiting}`, STATE],
    ["status-grading", `/submissions/${stage.grading}`, STATE],
    ["status-cancelled", `/submissions/${stage.cancelled}`, STATE],
    ["status-withdraw", `/submissions/${stage.passed}`, withdraw],
    ["missing-submission", "/submissions/00000000-0000-7000-8000-000000000000", seeId("notice")],
    ["missing-event", "/events/there-is-none", seeId("notice")],
    ["missing-page", "/events/there-is-none/such/page", seeId("notice"), { served: false }],
    ["console-signin", "/console", seeId("console-signin")],
    ["console-refused", "/console", wrongToken],
    ["console-events", "/console", seeId("console-event"), signedIn],
    ["console-overview", desk, seeId("chart-reasons"), signedIn],
    ["console-overview-empty", `/console/${empty}`, seeId("console-overview"), signedIn],
    ["console-search", `${desk}/submissions`, see(`${one("console-results")} tbody tr`), signedIn],
    ["console-chosen", `${desk}/submissions`, chosen, signedIn],
    [
      "console-nothing",
      `${desk}/submissions?q=nobody-is-called-so`,
      seeId("console-search"),
      signedIn,
    ],
    ["console-submission", `${desk}/submissions/${stage.failed}`, see("h1, h2"), signedIn],
    ["console-hidden", `${desk}/submissions/${stage.hidden}`, seeId("act-unhide"), signedIn],
    ["console-asks", `${desk}/submissions/${stage.passed}`, asks("act-hide", "confirm"), signedIn],
    ["console-stranger", "/console/there-is-none", settled, signedIn],
    [
      "console-missing",
      `${desk}/submissions/00000000-0000-7000-8000-000000000000`,
      settled,
      signedIn,
    ],
    ["console-regrades", `${desk}/regrades`, seeId("regrade-list"), signedIn],
    ["console-regrade-new", `${desk}/regrades`, newRegrade, signedIn],
    [
      "console-regrade",
      `${desk}/regrades/${stage.regrade}`,
      see(`${one("regrade-preview")}[data-state="ready"]`),
      signedIn,
    ],
    ["console-rules", `${desk}/rules`, seeId("rules-editor"), signedIn],
    ["console-rules-wrong", `${desk}/rules`, wrongRules, signedIn],
    ["console-rules-earlier", `${desk}/rules?version=1`, seeId("rules-versions"), signedIn],
    ["console-audit", `${desk}/audit`, seeId("audit-list"), signedIn],
    ["console-webhooks", `${desk}/webhooks`, settled, signedIn],
  ].map(([name, path, ready, options = {}]) => ({
    name,
    path,
    ready: async (page) => {
      await ready(page);
      await settled(page);
    },
    ...options,
  }));
}

const TOKEN_KEY = "portcall.console.token";

/** Pages of this context begin signed in, as in a tab that was reloaded. */
export async function keepToken(context, token) {
  await context.addInitScript(
    ([key, value]) => globalThis.sessionStorage?.setItem(key, value),
    [TOKEN_KEY, token],
  );
}
