// The organiser: signs in, searches, hides and puts back, cancels, changes the rules, re-grades with a preview,
// applies that and takes it back; and whoever watches meanwhile sees it happen.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import {
  closePage,
  mapReady,
  one,
  openBrowser,
  openConsole,
  openPage,
  seeState,
  signIn,
} from "./parts/page.mjs";
import {
  eventFile,
  GRADED_MS,
  given,
  graded,
  makeEvent,
  newHandle,
  onMap,
  portcall,
  send,
  short,
  VOTE_CHECK,
} from "./parts/stack.mjs";

const SILENT_REGISTRY = "127.0.0.1:9";

let window;
let event;
let token;

before(
  async () => {
    event = await makeEvent({ title: "The console", registries: [SILENT_REGISTRY] });
    token = await portcall("token", "create", "--name", "Olga", "--event", event.slug);
    window = await openBrowser();
  },
  { timeout: 60_000 },
);

after(() => window?.close());

const row = (id) => `${one("console-results")} [data-submission="${id}"]`;

/** Confirms what was asked, with a reason where one is asked for. */
async function confirm(page, reason) {
  await page.waitForSelector(one("act-confirm"));
  if (reason !== undefined) await page.fill('dialog [name="note"], dialog textarea', reason);
  await page.click(one("act-confirm"));
  await page.waitForSelector(one("act-confirm"), { state: "detached" });
}

test("a token signs in, is kept for the tab, and signs out", async () => {
  const page = await openPage(window.context, "/console");
  await page.waitForSelector(one("console-signin"));
  await page.fill(one("console-token"), "portcall_not_one");
  await page.click(one("console-signin-button"));
  await page.waitForSelector(one("error-token"));
  await signIn(page, token);
  // It is for one event, so there is nothing to choose.
  await page.waitForURL(`**/console/${event.slug}`);
  await page.waitForSelector(one("console-overview"));
  await page.reload();
  await page.waitForSelector(one("console-overview"));
  await page.click(one("console-signout"));
  await page.waitForSelector(one("console-signin"));
  await page.reload();
  await page.waitForSelector(one("console-signin"));
  assert.deepEqual(page.wrongs, []);
  await page.close();
});

test("an organiser searches, hides a pin and puts it back, with a reason", {
  timeout: 2 * GRADED_MS,
}, async () => {
  const handle = newHandle();
  const place = { label: "Oslo, NO", lat: 59.91, lng: 10.75 };
  const passed = await graded(event.slug, { participant: { handle }, place });
  const other = await graded(event.slug, {}, "passed");
  await onMap(event.slug, 2);
  const map = await openPage(window.context, `/events/${event.slug}#10.75,59.9,9`);
  await mapReady(map);
  const pin = `${one("pin")}[data-submission="${passed.id}"]`;
  await map.waitForSelector(pin, { state: "attached" });

  const page = await openConsole(window.context, `/console/${event.slug}/submissions`, token);
  await page.waitForSelector(row(other.id));
  await page.fill(one("console-search"), handle);
  await page.waitForSelector(row(other.id), { state: "detached" });
  await page.waitForSelector(`${row(passed.id)}[data-state="passed"][data-hidden="false"]`);
  await page.waitForURL(/q=/);
  await page.click(`${row(passed.id)} a`);
  await page.click(one("act-hide"));
  const reason = `A test ${short()}`;
  await confirm(page, reason);
  await page.waitForSelector(`[data-submission="${passed.id}"][data-hidden="true"]`);
  await map.waitForSelector(pin, { state: "detached" });
  await page.goBack();
  await page.waitForSelector(`${row(passed.id)}[data-hidden="true"]`);
  assert.equal(await page.inputValue(one("console-search")), handle);
  await page.goForward();
  await page.click(one("act-unhide"));
  await confirm(page);
  await page.waitForSelector(`[data-submission="${passed.id}"][data-hidden="false"]`);
  await map.waitForSelector(pin, { state: "attached" });
  await closePage(map);

  await page.click('nav a[href$="/audit"]');
  await page.waitForSelector(`${one("audit-list")} [data-what="unhide"]`);
  const lines = await page.$$eval(`${one("audit-list")} [data-what]`, (all) =>
    all.map((line) => `${line.dataset.what} ${line.textContent}`),
  );
  assert.ok(lines[0].startsWith("unhide") && lines[0].includes("Olga"), lines.join("\n"));
  assert.ok(lines[1].startsWith("hide") && lines[1].includes(reason), lines.join("\n"));
  await closePage(page);
});

test("an organiser cancels and erases, and the participant sees it at once", {
  timeout: GRADED_MS,
}, async () => {
  const { id } = await send(event.slug, { images: [`${SILENT_REGISTRY}/app:1`] });
  const status = await openPage(window.context, `/submissions/${id}`);
  await seeState(status, "queued");
  const page = await openConsole(window.context, `/console/${event.slug}/submissions/${id}`, token);
  await page.click(one("act-cancel"));
  await confirm(page, "Sent twice");
  await seeState(status, "cancelled");
  await page.click(one("act-erase"));
  await confirm(page);
  await page.waitForFunction(() => /erased/i.test(document.querySelector("h1")?.textContent));
  // Nothing happens any more to one that has ended, so nobody is told; but whoever comes back sees it.
  await status.reload();
  await status.waitForSelector(one("submission-state"));
  assert.ok(!(await status.textContent("body")).includes("Oakland"));
  assert.deepEqual(status.wrongs, []);
  await status.close();
  await closePage(page);
});

test("new rules, a re-grade with its preview, apply and undo", {
  timeout: 3 * GRADED_MS,
}, async () => {
  const failed = await graded(event.slug, { participant: { name: `Strict ${short()}` } }, "failed");
  const status = await openPage(window.context, `/submissions/${failed.id}`);
  await seeState(status, "failed");
  const page = await openConsole(window.context, `/console/${event.slug}/rules`, token);
  await changeRules(page);

  await page.click('nav a[href$="/regrades"]');
  await page.click("summary");
  await page.getByRole("checkbox", { name: "Failed", exact: true }).check();
  await page.click(one("regrade-new"));
  await confirm(page, "The name does not matter");
  await page.waitForURL(/\/regrades\/[\w-]+$/);
  const preview = (state) => `${one("regrade-preview")}[data-state="${state}"]`;
  await page.waitForSelector(preview("ready"), { timeout: GRADED_MS });
  const change = `${one("regrade-rows")} [data-submission="${failed.id}"]`;
  assert.equal(await page.getAttribute(change, "data-change"), "would_pass");
  // So far it is a preview, and nothing has changed.
  assert.equal(await status.getAttribute(one("submission-state"), "data-state"), "failed");

  await page.click(one("regrade-apply"));
  await confirm(page);
  await page.waitForSelector(preview("applied"));
  // A page of one that has ended looks once a minute; a test has not got so long.
  await status.reload();
  await seeState(status, "passed");
  await page.reload();
  await page.waitForSelector(preview("applied"));
  await page.click(one("regrade-undo"));
  await confirm(page);
  await page.waitForSelector(preview("undone"));
  await status.reload();
  await seeState(status, "failed");
  assert.deepEqual([...status.wrongs, ...page.wrongs], []);
  await status.close();
  await page.close();
});

/** First with a mistake, which is told with its line, then to rules that take any name. */
async function changeRules(page) {
  await page.waitForSelector(one("rules-editor"));
  const before = await page.inputValue(one("rules-editor"));
  await page.fill(one("rules-editor"), before.replace("status = 200", 'status = "ok"'));
  await page.click(one("rules-check"));
  await page.waitForSelector(one("rules-problem"));
  const line = before.split("\n").indexOf("status = 200") + 1;
  assert.equal(await page.getAttribute(one("rules-problem"), "data-line"), String(line));
  const after = eventFile({
    slug: event.slug,
    title: "The console, with new rules",
    checks: [VOTE_CHECK],
    registries: [SILENT_REGISTRY],
  });
  await page.fill(one("rules-editor"), after);
  await page.click(one("rules-check"));
  await page.waitForSelector(`${one("rules-state")}[data-state="good"]`);
  await page.click(one("rules-apply"));
  await confirm(page);
  await page.waitForFunction(() => document.title.includes("The console, with new rules"));
}

test("a suspect image is seen by organisers, and judged by operators", async () => {
  // Nobody submits it, so that nothing else is graded otherwise.
  const digest = `sha256:${randomBytes(32).toString("hex")}`;
  const why = `A fork bomb ${short()}`;
  await portcall("images", "refuse", digest, "--note", why);
  const listed = `${one("suspect-list")} [data-digest="${digest}"]`;
  const shown = (standing) => `${one("suspect")}[data-standing="${standing}"]`;

  const list = `/console/${event.slug}/suspects`;
  const page = await openConsole(window.context, list, token);
  await page.waitForSelector(`${listed}[data-standing="poison"]`);
  await page.click('nav[aria-label="Standing"] a[href$="standing=cleared"]');
  await page.waitForURL(/standing=cleared/);
  await page.waitForSelector(listed, { state: "detached" });
  await page.goBack();
  await page.click(`${listed} a`);
  await page.waitForSelector(shown("poison"));
  assert.ok((await page.textContent(one("suspect-orders"))).includes(why));
  assert.equal(await page.locator('[data-testid^="judge-"]').count(), 0);
  await page.reload();
  await page.waitForSelector(shown("poison"));
  assert.deepEqual(page.wrongs, []);
  await page.close();

  const operator = await openConsole(
    await window.stranger(),
    `${list}/${digest}`,
    given("PORTCALL_TEST_TOKEN"),
  );
  await operator.click(one("judge-cleared"));
  const reason = `The kernel was at fault ${short()}`;
  await confirm(operator, reason);
  await operator.waitForSelector(shown("cleared"));
  assert.ok((await operator.textContent(one("suspect-orders"))).includes(reason));
  await operator.click('nav a[href$="/audit"]');
  const line = operator.locator(`${one("audit-list")} [data-what="judge_image"]`).first();
  await line.waitFor();
  const told = await line.textContent();
  assert.ok(told.includes(reason) && told.includes(digest), told);
  await line.getByRole("link", { name: "the image" }).click();
  await operator.waitForSelector(shown("cleared"));
  await closePage(operator);
});

test("the overview shows queue, throughput, reasons and machines", async () => {
  const page = await openConsole(window.context, `/console/${event.slug}`, token);
  for (const id of ["console-overview", "chart-throughput", "chart-reasons", "console-nodes"]) {
    await page.waitForSelector(one(id));
  }
  await page.waitForSelector(`${one("chart-throughput")}[data-drawn="yes"]`);
  await page.waitForSelector(`${one("chart-reasons")}[data-drawn="yes"]`);
  await closePage(page);
});

test("a token for one event opens no other, and a revoked one opens none", async () => {
  const other = await makeEvent({ title: "Somebody else's" });
  const page = await openConsole(window.context, `/console/${other.slug}`, token);
  await page.waitForSelector(`${one("trouble")}[data-kind="forbidden"]`);
  await closePage(page);
  const brief = await portcall("token", "create", "--name", "Brief", "--event", event.slug);
  const open = await openConsole(window.context, `/console/${event.slug}`, brief);
  await open.waitForSelector(one("console-overview"));
  const list = await portcall("token", "list");
  const id = list
    .split("\n")
    .find((line) => line.includes("\tBrief\t") && line.includes(event.slug));
  await portcall("token", "revoke", id.split("\t")[0]);
  await open.waitForSelector(one("console-signin"), { timeout: GRADED_MS });
  assert.match(await open.textContent(one("console-ended")), /not good any more/);
  await closePage(open);
});
