// Every view of the page in every state that it has, each with what makes it complete.
import { fillForm, mapReady, one, openPage, settled, visit } from "./page.mjs";
import { BASE } from "./stack.mjs";

const see = (selector) => (page) => page.waitForSelector(selector);
const seeId = (id) => see(one(id));
const STATE = seeId("submission-state");

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

async function goodRules(page) {
  const editor = page.locator(one("rules-editor"));
  await editor.fill(`# Changed\n${await editor.inputValue()}`);
  await page.waitForSelector(`${one("rules-state")}[data-state="good"]`);
  await asks("rules-apply", "confirm")(page);
}

/** A form that is begun, left and found again. */
async function draft(page) {
  await page.waitForSelector(one("submit-form"));
  await page.fill('[name="participant.name"]', "Grace");
  const { pathname } = new URL(page.url());
  await visit(page, NOWHERE);
  await page.waitForSelector(one("notice"));
  await visit(page, pathname);
  await page.waitForSelector(one("draft-restored"));
}

/** Another try, while the form is begun: whoever asked for one is asked which. */
const draftBeside = (path) => async (page) => {
  await draft(page);
  await visit(page, NOWHERE);
  await page.waitForSelector(one("notice"));
  await visit(page, path);
  await page.waitForSelector(one("draft-beside"));
};

/** Fills in what is needed, and sends it; the answer is another's (`answering`). */
async function sent(page) {
  await fillForm(page, { name: "Gordon", image: "docker/app:1" });
  await page.fill('[name="answers.greeting"]', "Hello");
  await page.click(one("submit-button"));
}

async function fresh(page) {
  await sent(page);
  await page.waitForSelector(one("secret-once"));
}

async function twice(page) {
  await sent(page);
  await page.waitForSelector(one("duplicate"));
}

/** The POST of a submission is answered with one that is there, changed a little. */
const answering = (slug, id, status, changes) => (page) =>
  page.route(`**/api/v1/events/${slug}/submissions*`, async (route) => {
    const response = await page.request.get(`${BASE}/api/v1/submissions/${id}`);
    await route.fulfill({ status, json: { ...(await response.json()), ...changes } });
  });

/** A submission in a state that real ones seldom reach. */
const showing = (id, changes) => async (page) => {
  await page.route(`**/api/v1/submissions/${id}`, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), ...changes } });
  });
};

const UNDETERMINED = {
  state: "undetermined",
  verdict: {
    outcome: "undetermined",
    reason: {
      code: "registry_unreachable",
      owner: "registry",
      message: "docker.io was not to be reached in 5 attempts",
      hint: "Submit again later.",
      limit: null,
    },
    at: "2026-11-20T12:00:00.000Z",
    attempt: 1,
    grading_ms: 4200,
  },
};

/** Nobody answers these addresses. */
const lost = (pattern) => (page) => page.route(pattern, (route) => route.abort());

/** The server answers these with a problem. */
const refusing = (pattern, status, code, detail) => (page) =>
  page.route(pattern, (route) =>
    route.fulfill({
      status,
      contentType: "application/problem+json",
      json: { type: `urn:portcall:problem:${code}`, title: "No", status, code, detail, errors: [] },
    }),
  );

/** These are never answered. */
const silent = (pattern) => (page) => page.route(pattern, () => undefined);

async function webhookMade(page) {
  await page.fill('form [name="url"]', "https://hooks.example/portcall");
  await page.click(`${one("webhook-form")} button[type="submit"]`);
  await page.waitForSelector(one("webhook-secret"));
}

const WEBHOOK = {
  id: "0190a6f0-0000-7000-8000-000000000001",
  url: "https://hooks.example/portcall",
  on: ["verdict", "regrade"],
  created_at: "2026-11-20T12:00:00.000Z",
  created_by: "Ann",
  disabled_at: null,
};
const DELIVERIES = ["pending", "delivered"].map((state, index) => ({
  id: `0190a6f0-0000-7000-8000-00000000000${index + 2}`,
  type: "submission.passed",
  submission: "0190a6f0-0000-7000-8000-000000000004",
  created_at: "2026-11-20T12:00:00.000Z",
  state,
  tries: 2 - index,
  next_try: index === 0 ? "2099-11-20T12:00:00.000Z" : null,
  last: { code: index === 0 ? 503 : 200, detail: null, excerpt: "<h1>Hello</h1>", ms: 212 },
}));

/** An event with a webhook and what was sent to it: tests have nobody who would listen to one. */
const withWebhook = (slug) => async (page) => {
  await page.route("**/api/v1/admin/webhooks/*/deliveries*", (route) =>
    route.fulfill({ json: { deliveries: DELIVERIES, next: null } }),
  );
  await page.route(`**/api/v1/admin/events/${slug}/webhooks`, (route) => {
    const webhook = { ...WEBHOOK, event: slug };
    if (route.request().method() !== "POST")
      return route.fulfill({ json: { webhooks: [webhook] } });
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    return route.fulfill({ status: 201, json: { ...webhook, secret } });
  });
};

const SUSPECTS = ["quarantined", "poison", "cleared", "suspected"].map((standing, index) => ({
  digest: `sha256:${String(index).repeat(64)}`,
  standing,
  changed_at: "2026-11-20T12:00:00.000Z",
  counted: standing === "cleared" ? 0 : 1,
  graded_alone_now: index === 0,
  losses: [false, true].map((counts) => ({
    at: "2026-11-20T11:00:00.000Z",
    machine: counts ? "node grader-1" : "worker worker-1",
    worker: "worker-1",
    node: counts ? "grader-1" : null,
    alone: counts,
    counts: counts && standing !== "cleared",
    submission: "0190a6f0-0000-7000-8000-000000000004",
    with: index,
  })),
  orders:
    index === 1
      ? [{ standing, by: "Ann", at: "2026-11-20T12:00:00.000Z", note: "A fork bomb" }]
      : [],
}));
const LOSING = [{ machine: "node grader-1", images: 4, cleared: 1 }];

/** Machines that went down: tests cannot take down those that they run on. */
const withSuspects = (images, machines) => (page) =>
  page.route("**/api/v1/admin/suspects", (route) => route.fulfill({ json: { images, machines } }));

async function wrongToken(page) {
  await page.fill(one("console-token"), "portcall_not_one");
  await page.click(one("console-signin-button"));
  await page.waitForSelector('[id$="-error"], [data-testid^="error-"]');
}

/** An address that is none of the page's, and asks nothing of the api. */
const NOWHERE = "/there/is/no/such/page";
const NOBODY = "/submissions/00000000-0000-7000-8000-000000000000";

/** What anybody may see. */
function openViews(stage) {
  const { slug, empty, closed, soon, waiting, failed } = stage;
  const event = `/events/${slug}`;
  const form = `${event}/submit`;
  const again = `${form}?from=${failed}`;
  const own = `**/api/v1/submissions/${failed}`;
  const all = `**/api/v1${event}{,/**}`;
  return [
    ["home", "/", mapReady],
    ["map", event, mapReady],
    ["map-pin", event, openPin],
    ["map-spot", `${event}#2.35,48.86,11`, openSpot],
    ["map-europe", `${event}#9,48,4.6`, mapReady],
    ["map-pacific", `${event}#178,-15,3.5`, see(".land")],
    ["map-empty", `/events/${empty}`, mapReady],
    ["map-lost", event, seeId("notice"), { given: lost("**/api/v1/events") }],
    ["map-late", event, seeId("offline"), { given: lost("**/pins?*") }],
    ["board", `${event}/board`, seeId("board-recent")],
    ["board-replay", `${event}/board`, replay],
    ["board-empty", `/events/${empty}/board`, seeId("board")],
    ["board-lost", `${event}/board`, see(".board-state:not(:empty)"), { given: lost(all) }],
    ["submit", form, seeId("submit-form")],
    ["submit-places", form, suggestions],
    ["submit-hints", form, hints],
    ["submit-errors", form, wrongForm],
    ["submit-again", again, see(`${one("image-hint-0")}[data-state="good"]`)],
    ["submit-draft", form, draft],
    ["submit-draft-beside", form, draftBeside(again)],
    ["submit-twice", form, twice, { given: answering(slug, failed, 200, TWICE) }],
    ["submit-lost", form, seeId("notice"), { given: lost(`**/api/v1${event}`) }],
    ["submit-closed", `/events/${closed}/submit`, seeId("submit-form")],
    ["submit-soon", `/events/${soon}/submit`, seeId("submit-form")],
    ["status-passed", `/submissions/${stage.passed}`, STATE],
    ["status-failed", `/submissions/${failed}`, failedProof],
    ["status-waiting", `/submissions/${waiting}`, STATE],
    ["status-grading", `/submissions/${stage.grading}`, STATE],
    ["status-cancelled", `/submissions/${stage.cancelled}`, STATE],
    [
      "status-undetermined",
      `/submissions/${failed}`,
      STATE,
      { given: showing(failed, UNDETERMINED) },
    ],
    ["status-erased", `/submissions/${stage.erased}`, STATE],
    ["status-fresh", form, fresh, { given: answering(slug, waiting, 202, { secret: "a-secret" }) }],
    ["status-withdraw", `/submissions/${stage.passed}`, withdraw],
    ["status-lost", `/submissions/${failed}`, seeId("notice"), { given: lost(own) }],
    [
      "status-loading",
      `/submissions/${failed}`,
      seeId("loading"),
      { given: silent(own), rests: false },
    ],
    ["missing-submission", NOBODY, seeId("notice")],
    ["missing-event", "/events/there-is-none", seeId("notice")],
    ["missing-page", NOWHERE, seeId("notice")],
    ["console-signin", "/console", seeId("console-signin")],
    ["console-refused", "/console", wrongToken],
  ];
}

const TWICE = { secret: null, note: "It is the same as an earlier one." };

/** What an operator sees who is signed in. */
function consoleViews(stage) {
  const { slug, empty } = stage;
  const desk = `/console/${slug}`;
  const found = `${desk}/submissions`;
  const hooks = { given: withWebhook(slug) };
  const downs = { given: withSuspects(SUSPECTS, LOSING) };
  const noDowns = { given: withSuspects([], []) };
  const [quarantined, poison] = SUSPECTS.map(({ digest }) => `${desk}/suspects/${digest}`);
  const preview = (state) => see(`${one("regrade-preview")}[data-state="${state}"]`);
  const busy = refusing(
    "**/audit*",
    503,
    "unavailable",
    "Portcall cannot reach its store right now.",
  );
  const unknown = refusing("**/admin/me", 401, "token_needed", "Send a token that is good.");
  return [
    ["console-events", "/console", seeId("console-event")],
    ["console-overview", desk, see('[data-testid="chart-reasons"][data-drawn="yes"]')],
    ["console-overview-empty", `/console/${empty}`, seeId("console-overview")],
    ["console-door", desk, asks("door-close", "confirm")],
    ["console-search", found, see(`${one("console-results")} tbody tr`)],
    ["console-chosen", found, chosen],
    ["console-nothing", `${found}?q=nobody-is-called-so`, seeId("console-results")],
    ["console-submission", `${found}/${stage.failed}`, seeId("submission-state")],
    ["console-erased", `${found}/${stage.erased}`, seeId("submission-state")],
    ["console-hidden", `${found}/${stage.hidden}`, seeId("act-unhide")],
    ["console-asks", `${found}/${stage.passed}`, asks("act-hide", "confirm")],
    ["console-stranger", "/console/there-is-none", seeId("trouble")],
    ["console-missing", `${desk}${NOBODY}`, seeId("trouble")],
    ["console-regrades", `${desk}/regrades`, seeId("regrade-list")],
    ["console-regrades-empty", `/console/${empty}/regrades`, see(".empty")],
    ["console-regrade-new", `${desk}/regrades`, newRegrade],
    ["console-regrade", `${desk}/regrades/${stage.regrade}`, preview("ready")],
    ["console-regrade-applied", `${desk}/regrades/${stage.applied}`, preview("applied")],
    ["console-rules", `${desk}/rules`, seeId("rules-editor")],
    ["console-rules-wrong", `${desk}/rules`, wrongRules],
    ["console-rules-apply", `${desk}/rules`, goodRules],
    ["console-rules-earlier", `${desk}/rules?version=1`, seeId("rules-versions")],
    ["console-suspects", `${desk}/suspects`, seeId("suspect-list"), downs],
    ["console-suspects-poison", `${desk}/suspects?standing=poison`, seeId("suspect-list"), downs],
    ["console-suspects-empty", `${desk}/suspects`, see(".empty"), noDowns],
    ["console-suspect", poison, seeId("suspect-orders"), downs],
    ["console-suspect-asks", quarantined, asks("judge-poison", "confirm"), downs],
    ["console-suspect-missing", quarantined, seeId("trouble"), noDowns],
    ["console-audit", `${desk}/audit`, see(`${one("audit-list")} [data-what]`)],
    ["console-audit-empty", `/console/${stage.soon}/audit`, see(".empty")],
    ["console-audit-busy", `${desk}/audit`, seeId("trouble"), { given: busy }],
    ["console-webhooks", `${desk}/webhooks?show=${WEBHOOK.id}`, seeId("delivery-list"), hooks],
    ["console-webhooks-empty", `/console/${empty}/webhooks`, see(".empty")],
    ["console-webhook-made", `${desk}/webhooks`, webhookMade, hooks],
    // It ends the session, so it comes last.
    ["console-ended", "/console", seeId("console-ended"), { given: unknown, spends: true }],
  ].map(([name, path, ready, options]) => [name, path, ready, { ...options, signedIn: true }]);
}

/**
 * All of them. `given` changes beforehand what the page is answered; one that `rests: false` is complete
 * while it still waits, and one that `spends` its page leaves it of no use to others. What `makeStage`
 * answered says where they are.
 */
export function views(stage) {
  const all = [...openViews(stage), ...consoleViews(stage)];
  return all.map(([name, path, ready, { given, rests, ...options } = {}]) => ({
    name,
    path,
    given: given ?? (() => undefined),
    ready: async (page) => {
      await ready(page);
      if (rests !== false) await settled(page);
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

/** A page on which one view after the other can be looked at. */
export async function openViewer(context) {
  const page = await openPage(context, NOBODY);
  page.shared = true;
  await page.waitForSelector(one("notice"));
  return page;
}

/** Shows a view as to somebody who has never been here, or has just signed in. */
export async function show(page, { path, given, ready }) {
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await visit(page, NOWHERE);
  // Nothing of the last view is there any more that this one's could be mistaken for.
  await page.waitForFunction(
    (others) =>
      document.querySelector(others) === null && /no such page/i.test(document.body.textContent),
    `dialog, ${one("loading")}, main.page > :not(.notice)`,
  );
  await page.evaluate((kept) => {
    localStorage.clear();
    for (const key of Object.keys(sessionStorage)) if (key !== kept) sessionStorage.removeItem(key);
  }, TOKEN_KEY);
  await given(page);
  await visit(page, path);
  await ready(page);
}
