// Runs the files of this folder one after the other, since they share a stack that one of them takes away.
// Words choose: the name of a file (submit, million), or a part of the names of tests.
import { readFileSync } from "node:fs";
import { run } from "node:test";
import { spec } from "node:test/reporters";

/** In this order: the million pins make everything slow while they are there. */
const FILES = [
  "submit",
  "board",
  "addresses",
  "keyboard",
  "console",
  "restart",
  "axe",
  "injection",
  "million",
];
const ENDED_BY = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

const words = process.argv.slice(2);
const named = FILES.filter((file) => words.includes(file));
const patterns = words.filter((word) => !FILES.includes(word));
/** Whether a file has such a test; what it makes ready for the others may take long. */
const concerned = (path) => {
  if (patterns.length === 0 || named.length > 0) return true;
  const source = readFileSync(path, "utf8");
  return patterns.some((pattern) => source.includes(pattern));
};
const files = (named.length > 0 ? named : FILES)
  .map((file) => new URL(`../${file}.mjs`, import.meta.url).pathname)
  .filter(concerned);
if (files.length === 0) {
  console.error(`no test is called ${patterns.join(", ")}`);
  process.exit(1);
}

// Nobody should have to guess why a run broke off.
const stop = new AbortController();
for (const [signal, code] of Object.entries(ENDED_BY)) {
  process.once(signal, () => {
    console.error(`stopped by ${signal}, in mid-run`);
    stop.abort();
    setTimeout(() => process.exit(code), 2_000);
  });
}

const tests = run({
  files,
  concurrency: 1,
  signal: stop.signal,
  testNamePatterns: patterns.length === 0 ? null : patterns,
});
tests.on("test:fail", ({ name, details }) => {
  process.exitCode = 1;
  // A whole file fails like this if its process goes.
  const { exitCode, signal } = details.error;
  if (signal) console.error(`${name} was ended by ${signal}; dmesg tells whether memory ran out`);
  else if (exitCode > 1) console.error(`${name} ended with exit code ${exitCode}`);
});
tests.compose(spec).pipe(process.stdout);
