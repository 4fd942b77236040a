// A file of the API that needs the token, so that a plain link cannot fetch it: read here, then saved.

/** How far a file is; its size is not told beforehand. */
export type Progress = (bytes: number) => void;

/** The name that the answer gives its file. */
export function fileName(header: string | null, otherwise: string): string {
  const found = /filename="([A-Za-z0-9._-]{1,120})"/.exec(header ?? "");
  return found?.[1] ?? otherwise;
}

/** Reads an answer whole. One that breaks off is an error: a part of a file must not be saved. */
export async function readAll(response: Response, onProgress: Progress): Promise<Blob> {
  const type = response.headers.get("content-type") ?? "application/octet-stream";
  if (response.body === null) return new Blob([await response.arrayBuffer()], { type });
  const reader = response.body.getReader();
  const pieces: BlobPart[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(pieces, { type });
    pieces.push(value);
    bytes += value.byteLength;
    onProgress(bytes);
  }
}

/** Hands a file to the browser to be saved. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
