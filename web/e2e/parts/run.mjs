// Runs the files of this folder one after the other, since they share a stack that one of them takes away.
// Words choose: the name of a file (submit, million), or a part of the names of tests.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

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
const options = ["--test", "--test-concurrency=1", "--test-reporter=spec"];
for (const pattern of patterns) options.push(`--test-name-pattern=${pattern}`);
const { status } = spawnSync(process.execPath, [...options, ...files], { stdio: "inherit" });
process.exit(status ?? 1);
