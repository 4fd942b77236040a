// Lines to copy, with a button. Works without the clipboard permission too (plain HTTP on a LAN).
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Pre } from "./Pre";

export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard !== undefined) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

interface Props {
  text: string;
  label: string;
  testid?: string;
}

export function CopyBlock({ text, label, testid }: Props): VNode {
  const [done, setDone] = useState<"no" | "yes" | "failed">("no");
  useEffect(() => {
    if (done === "no") return;
    const back = setTimeout(() => setDone("no"), 2_000);
    return () => clearTimeout(back);
  }, [done]);
  const copy = (): void => {
    copyText(text).then(
      () => setDone("yes"),
      () => setDone("failed"),
    );
  };
  const word = done === "yes" ? "Copied" : done === "failed" ? "Select it and copy" : "Copy";
  return (
    <div class="copy">
      <Pre testid={testid} text={text} />
      <button type="button" class="button small" aria-label={`${word}: ${label}`} onClick={copy}>
        {word}
      </button>
    </div>
  );
}
