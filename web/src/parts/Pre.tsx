// Text as it came, line for line. It may scroll, so the keyboard can reach it.
import type { VNode } from "preact";

interface Props {
  text: string;
  kind?: "headers" | "body";
  testid?: string | undefined;
}

export function Pre({ text, kind, testid }: Props): VNode {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so keys must reach it
    <pre class={kind} tabIndex={0} data-testid={testid}>
      {text}
    </pre>
  );
}
