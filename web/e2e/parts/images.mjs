// Images that answer as a test wants, built from the program `app` and pushed to the tests' registry.
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { given, short } from "./stack.mjs";

const run = promisify(execFile);

function engine(...words) {
  const env = { ...process.env, DOCKER_BUILDKIT: "0" };
  return run("docker", ["--host", given("PORTCALL_TEST_DOCKER_HOST"), ...words], { env });
}

/** Builds and pushes one: `env` are its variables, `files` its further files by their paths. */
export async function pushImage({ env = {}, files = {} }) {
  const name = `${given("PORTCALL_TEST_REGISTRY")}/e2e-${short()}:1`;
  const folder = await mkdtemp(join(tmpdir(), "portcall-image-"));
  const lines = ["FROM scratch", "COPY . /"];
  for (const [key, value] of Object.entries(env)) lines.push(`ENV ${key}="${value}"`);
  lines.push("EXPOSE 80", "STOPSIGNAL SIGKILL", 'ENTRYPOINT ["/app"]');
  try {
    await copyFile(join(given("PORTCALL_TEST_STATIC_BIN"), "app"), join(folder, "app"));
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), content);
    }
    await writeFile(join(folder, "Dockerfile"), `${lines.join("\n")}\n`);
    await engine("build", "--tag", name, folder);
    await engine("push", name);
    await engine("image", "rm", "--force", name);
  } finally {
    await rm(folder, { recursive: true });
  }
  return name;
}
