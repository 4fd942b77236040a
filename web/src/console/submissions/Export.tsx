// All submissions of the event as a file, with what is personal in them. Taking it is noted.
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { OfflineError, ProblemError } from "../../api/problem";
import { megabytes } from "../../status/words";
import { useOrganiser } from "../session";
import { fileName, readAll, save } from "./download";

type Doing =
  | { is: "idle" }
  | { is: "reading"; bytes: number }
  | { is: "done"; bytes: number }
  | { is: "failed"; why: string };

export function Exports({ slug }: { slug: string }): VNode {
  const { admin } = useOrganiser();
  const [doing, setDoing] = useState<Doing>({ is: "idle" });
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const take = async (format: "csv" | "json"): Promise<void> => {
    const own = new AbortController();
    abort.current = own;
    setDoing({ is: "reading", bytes: 0 });
    try {
      // The mark at the beginning tells spreadsheets that the table is UTF-8.
      const query = format === "csv" ? { format, bom: "true" } : { format };
      const response = await admin.exportAll(slug, query, own.signal);
      const blob = await readAll(response, (bytes) => setDoing({ is: "reading", bytes }));
      const name = response.headers.get("content-disposition");
      save(blob, fileName(name, `portcall-${slug}.${format}`));
      setDoing({ is: "done", bytes: blob.size });
    } catch (error) {
      setDoing(own.signal.aborted ? { is: "idle" } : { is: "failed", why: brokenOff(error) });
    }
  };
  const reading = doing.is === "reading";
  return (
    <div class="exports">
      <p class="exports-word quiet" role="status" data-testid="export-state">
        {words(doing)}
      </p>
      {reading ? (
        <button type="button" class="button" onClick={() => abort.current?.abort()}>
          Stop
        </button>
      ) : (
        <>
          <button
            type="button"
            class="button"
            data-testid="export-csv"
            onClick={() => void take("csv")}
          >
            Export CSV
          </button>
          <button
            type="button"
            class="button"
            data-testid="export-json"
            onClick={() => void take("json")}
          >
            Export JSON
          </button>
        </>
      )}
    </div>
  );
}

function words(doing: Doing): string {
  switch (doing.is) {
    case "idle":
      return "";
    case "reading":
      return doing.bytes === 0 ? "Reading …" : `${megabytes(doing.bytes)} read …`;
    case "done":
      return `Saved, ${megabytes(doing.bytes)}.`;
    case "failed":
      return doing.why;
  }
}

export function brokenOff(error: unknown): string {
  if (error instanceof ProblemError || error instanceof OfflineError) return error.message;
  return "The file broke off, so nothing was saved. Try again.";
}
